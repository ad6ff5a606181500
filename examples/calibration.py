"""Which model for a million steps: error rates over the number of disks, and projected costs (MAKER, section 4.1)."""

from collections.abc import Sequence

from langgraph_maker.experiments import experiment


def main(folder: str = "experiments", samples: int = 1000, disks: Sequence[int] = (10, 15, 20)) -> None:
    """Calibrate three simulated models on single steps; put "openai:gpt-4.1-mini" in their place for a real one."""
    models = ["sim:gpt-4.1-nano", "sim:gpt-4.1-mini", "sim:haiku-4.5"]
    found = experiment("calibration", models=models, disks=disks, samples=samples, out=folder)
    for line in found.lines:
        one = line["calibration"]
        print(
            f"{line['model']}, {line['disks']} disks: {one['valid'] - one['right']} of {one['valid']} wrong,"
            f" 1 − p from {1 - one['p_high']:.4f} to {1 - one['p_low']:.4f}"
        )
    print("", *found.sentences, "all models are simulated", *found.figures, sep="\n")


if __name__ == "__main__":
    main()
