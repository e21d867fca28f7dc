"""No module imports, over whatever way round, itself: each can be read, tested and replaced alone."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def test_no_module_is_part_of_an_import_circle() -> None:
    graph = grimp.build_graph("market", "devices", "node", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200  # all of the program, imports within functions included
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))
