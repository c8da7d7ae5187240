"""Click's completion for the shells, put right for ``--option=value``.

Bash hands the sign over as a word of its own, and zsh and fish put what is offered in place of
the option as well.
"""

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)


class _Bash(BashComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is typed, and that one; a sign alone is none."""
        words, incomplete = super().get_completion_args()
        if incomplete == "=":
            return words, ""
        if words and words[-1] == "=":
            words.pop()
        return words, incomplete


def _with_option(found: list[CompletionItem], incomplete: str) -> list[CompletionItem]:
    """What is offered for a value, with the option that it is typed after."""
    option, sign, _ = incomplete.partition("=")
    if not sign or not option.startswith("--"):
        return found
    return [CompletionItem(f"{option}={one.value}", one.type, one.help) for one in found]


class _Zsh(ZshComplete):
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """See `_with_option`."""
        return _with_option(super().get_completions(args, incomplete), incomplete)


class _Fish(FishComplete):
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """See `_with_option`."""
        return _with_option(super().get_completions(args, incomplete), incomplete)


def put_right() -> None:
    """Have click use these."""
    for kind in (_Bash, _Zsh, _Fish):
        add_completion_class(kind)
