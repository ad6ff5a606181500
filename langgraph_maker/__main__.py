"""`python -m langgraph_maker` is the command line."""

from langgraph_maker.cli import main

if __name__ == "__main__":
    main()
