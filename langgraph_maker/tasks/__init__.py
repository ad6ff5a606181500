"""Tasks that ship with the package, each with a prompt, a parser and a checkable truth."""
