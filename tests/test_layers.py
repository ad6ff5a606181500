"""The house: few folders, few layers, imports that point downwards, and a picture of it that is true."""

from __future__ import annotations

from layers import LAYERS, PACKAGE, PAGE, arrows, circles, folder, modules, page


def test_every_folder_has_a_layer_and_there_are_few_of_them() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {name for names in LAYERS for name in names} == folders
    assert len(folders) <= 12
    assert len(LAYERS) <= 8
    assert len([*PACKAGE.glob("*.py")]) <= 12


def test_imports_point_downwards() -> None:
    level = {name: number for number, names in enumerate(LAYERS) for name in names}
    upward = [(a, b) for a, others in arrows().items() for b in others if level[b] >= level[a]]
    assert upward == []


def test_no_file_of_the_root_is_imported_from_below() -> None:
    roots = {
        (module, other)
        for module, imported in modules().items()
        for other in imported
        if folder(module) and not folder(other) and other != "langgraph_maker"
    }
    assert roots == set()


def test_there_are_no_circles() -> None:
    inner = {a: {b for b in others if not a.startswith(f"{b}.")} for a, others in modules().items()}
    assert circles(inner) == []


def test_a_circle_and_an_upward_import_would_be_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert arrows()["cli"]["runs"] > 0


def test_the_picture_in_contributing_is_of_these_imports() -> None:
    assert PAGE.read_text() == page(), "draw it anew: python tests/support/layers.py"
