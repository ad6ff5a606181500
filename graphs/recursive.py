"""A recursive maker for LangGraph Studio: products such as {"problem": "123 * 456"}, a simulated model, no key.

What is no product is refused before anything is asked.
"""

from langgraph_maker import create_recursive_maker
from langgraph_maker.prebuilt.recursive.multiplication import Products, simulated_multiplication

graph = create_recursive_maker(simulated_multiplication(), stages=Products(), min_k=1).compile(name="recursive")
