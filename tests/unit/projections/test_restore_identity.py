"""The finding `identity`: whether an encrypted backup can be opened, said before anything else."""

import pytest
from msgspec.structs import replace

from daemon.decide.restores import blocking
from events.facts import Failure, Finding
from projections.restore_identity import Unlocking, identity
from tests.support.samples import STORED

ANN, BOB, EVE = "age1ann", "age1bob", "age1eve"
SEALED = replace(STORED, recipients=(ANN, BOB))
NOBODY = Unlocking(trouble=Failure("identity", "there is none", "Name one.", permanent=True))


def found(unlocking: Unlocking) -> list[Finding]:
    """For a backup that is encrypted to two."""
    return list(identity(SEALED, unlocking))


def test_a_backup_that_is_not_encrypted_needs_no_identity() -> None:
    """Without recipients nothing is found, whatever identities there are."""
    assert [] == [*identity(STORED, Unlocking()), *identity(STORED, NOBODY)]


@pytest.mark.parametrize("opens", [(ANN,), (BOB,), (EVE, BOB)])
def test_one_fitting_identity_is_enough(opens: tuple[str, ...]) -> None:
    """Any one recipient's identity opens it, also among others."""
    assert [] == found(Unlocking("/i", opens))


@pytest.mark.parametrize("unlocking", [NOBODY, Unlocking("/i", (EVE,)), Unlocking()])
def test_without_a_fitting_identity_it_is_blocked_for_good(unlocking: Unlocking) -> None:
    """A missing and a wrong identity are blockers that tell to whom it is encrypted."""
    (finding,) = found(unlocking)
    assert ("identity", "blocker") == (finding.code, finding.level)
    assert all(one in finding.message + finding.hint for one in (ANN, BOB))
    assert (finding,) == blocking((finding,), force=("identity",))


def test_an_identity_that_others_can_read_is_a_warning() -> None:
    """The restore goes on, and the plan says what to type."""
    (finding,) = found(Unlocking("/i", (ANN,), exposed=True))
    assert ("identity-exposed", "warning", "chmod o= /i") == (
        finding.code,
        finding.level,
        finding.hint,
    )
