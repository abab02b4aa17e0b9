"""Former names lead, with a warning, to what they name now."""

import importlib

import pytest

from drfpn_da import engine, evaluation, renamed
from drfpn_da.engine import other_evaluation
from drfpn_da.modeling import predicted_disparity


@pytest.mark.parametrize(("former", "now"), renamed.MODULES.items())
def test_former_modules(former, now):
    with pytest.warns(DeprecationWarning, match=f"{former} is {now} now"):
        found = importlib.import_module(former)
    assert found is importlib.import_module(now) and found.__name__ == now


@pytest.mark.parametrize(
    ("module", "former", "now"),
    [
        (engine, "SecondOpinion", "WithOtherEvaluation"),
        (evaluation, "SECOND_OPINION", "OTHER_EVALUATION"),
        (evaluation, "needs_second_opinion", "needs_other_evaluation"),
        (other_evaluation, "the_other", "other_evaluation"),
        (predicted_disparity, "check_own_disparity", "check_predicted_disparity"),
    ],
)
def test_former_names(module, former, now):
    with pytest.warns(DeprecationWarning, match=f"{module.__name__}.{former} is .*{now} now"):
        assert getattr(module, former) is getattr(module, now)


def test_other_names_are_missing():
    with pytest.raises(AttributeError, match=r"'drfpn_da\.engine' has no attribute 'Nothing'"):
        engine.Nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("drfpn_da.engine.nothing")
