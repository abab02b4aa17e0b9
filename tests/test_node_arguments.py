"""Keys of a config under the names of arguments."""

import pytest
from detectron2.config import CfgNode

from drfpn_da.config import get_defaults
from drfpn_da.node_arguments import arguments

NODE = CfgNode({"WEIGHT": 2.0, "MASK": {"SHARE": 0.5, "CELL": {"SIZE": 3}}, "NAMES": ["a"]})


def test_keys_become_arguments():
    all_of_them = {"weight": 2.0, "mask_share": 0.5, "mask_cell_size": 3, "names": ["a"]}
    assert arguments(NODE) == all_of_them
    assert arguments(NODE, "names", "mask_share") == {"names": ["a"], "mask_share": 0.5}
    with pytest.raises(KeyError, match="share"):
        arguments(NODE, "share")


def test_no_two_keys_of_a_system_are_one_argument():
    def leaves(node):
        return sum(leaves(v) if isinstance(v, CfgNode) else 1 for v in node.values())

    for top in get_defaults().values():
        for node in top.values():
            if isinstance(node, CfgNode):
                assert len(arguments(node)) == leaves(node)
