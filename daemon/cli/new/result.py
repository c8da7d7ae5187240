"""What there is after a restore into a new server, compared with what the backup holds."""

from collections.abc import Iterator

import msgspec

from daemon.answers import Accepted
from daemon.cli.cache_page import found_lines
from daemon.cli.desk import Desk
from daemon.cli.new.check import differences
from daemon.cli.new.deed import Order
from daemon.cli.new.page import NewServerMade, absent_lines, durability, made_lines
from daemon.cli.new.server import Served
from daemon.cli.table import facts
from daemon.errors import Failed
from daemon.valkey.info import Extras, number, server_facts


def tell(desk: Desk, order: Order, served: Served, answer: Accepted | None) -> None:
    """Show the new server; raises `Failed("keys-differ")` where it holds something else."""
    proof = order.detail.backup.proof
    receipt = proof.receipt if proof else None
    wrong = tuple(differences(served.info, order.stored, receipt))
    made = _made(order, served, wrong)
    desk.show(msgspec.json.encode(made), _lines(desk, order, made, answer))
    if wrong:
        raise Failed(
            "keys-differ",
            " ".join(wrong),
            f"The server is left running, process {made.pid}: look before you use it.",
        )


def _made(order: Order, served: Served, wrong: tuple[str, ...]) -> NewServerMade:
    wanted, plan, info = order.wanted, order.plan, served.info
    server = server_facts(info, Extras())
    return NewServerMade(
        backup_id=plan.backup_id,
        backup=plan.backup,
        directory=plan.directory,
        port=plan.port,
        pid=served.pid,
        url=wanted.url,
        engine=f"{server.engine} {server.version}",
        keys=server.keys,
        seconds=served.seconds,
        durability=durability(order.server, append_only=plan.append_only),
        expired=number(info, "rdb_last_load_keys_expired"),
        evicted=number(info, "evicted_keys"),
        acl_users=plan.acl_users,
        cache=wanted.register,
        warnings=wrong,
    )


def _lines(desk: Desk, order: Order, made: NewServerMade, answer: Accepted | None) -> Iterator[str]:
    yield f"{made.backup} is restored into a new server in {made.directory}."
    pairs = made_lines(made, order.wanted, order.start)
    yield from facts(pairs, indent="  ", width=desk.width)
    yield from absent_lines(made.acl_users)
    if answer is not None and answer.probe is not None:
        yield f"Cache {made.cache} is added."
        yield from found_lines(answer.probe, desk.width, indent="  ")
