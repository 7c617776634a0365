"""A node enrols once, with the token in the environment; a failure leaves no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from refstack_install.answers import key_files
from refstack_install.answers.answers import combine
from refstack_install.errors import AnswersError, StepError
from refstack_install.step import Context
from refstack_install.steps.enrolment import TOKEN_VARIABLE, EnrolmentStep
from refstack_install.steps.worker_files import KeysStep
from refstack_install.system import Completed

from tests.support.node_machine import NodeMachine

TOKEN = f"rse1.{'0' * 16}.{'A' * 43}"


class Worker:
    """Stands in for refstack-worker: notes how it is called, and writes the keys."""

    def __init__(self, machine: NodeMachine, status: int = 0) -> None:
        self.machine, self.status = machine, status
        self.calls: list[tuple[tuple[str, ...], Mapping[str, str]]] = []

    def __call__(self, argv: Sequence[str], extra: Mapping[str, str], timeout: float | None) -> Completed:
        self.calls.append((tuple(argv), extra))
        self.machine.write("etc/refstack-worker/fleet.key", "refstack-seal-private …\n")
        return Completed(tuple(argv), self.status, "", "the token is used" if self.status else "")


def step_of(machine: NodeMachine, worker: Worker, text: str = f"{TOKEN}\n") -> EnrolmentStep:
    context = machine.context(**{"keys.fleet": "", "keys.servers": "", "keys.enrolment": "env:TOKEN"})
    environ = {**context.system.environ, "TOKEN": text}
    return EnrolmentStep(Context(replace(context.system, environ=environ, run_with=worker), context.answers))


def test_the_token_is_in_the_environment_alone_and_is_used_once(machine: NodeMachine) -> None:
    worker = Worker(machine)
    step = step_of(machine, worker)
    assert len(step.check()) == 1 and KeysStep(Context(step.system, step.answers)).check() == []
    step.apply()
    ((argv, extra),) = worker.calls
    assert argv == ("/usr/bin/refstack-worker", "enrol") and extra == {TOKEN_VARIABLE: TOKEN}
    assert step.check() == []


def test_a_node_with_keys_enrols_only_if_asked(machine: NodeMachine) -> None:
    assert EnrolmentStep(machine.context()).check() == []


def test_a_refused_token_says_what_to_do_and_leaves_nothing(machine: NodeMachine) -> None:
    step = step_of(machine, Worker(machine, status=8))
    record = step.snapshot()
    with pytest.raises(StepError, match="cannot enrol"):
        step.apply()
    step.undo(record)
    assert not (machine.root / "etc/refstack-worker/fleet.key").exists()


def test_keys_are_not_missing_where_a_token_is_given() -> None:
    missing = {setting.name for setting in combine([{"keys.enrolment": "env:T"}], {}).missing()}
    assert not missing & {"keys.fleet", "keys.servers"}
    assert "keys.fleet" in {setting.name for setting in combine([], {}).missing()}


def test_what_is_no_token(machine: NodeMachine) -> None:
    step = step_of(machine, Worker(machine), "something else")
    with pytest.raises(AnswersError, match="not an enrolment token") as refused:
        key_files.token(step.system, step.answers)
    assert "something else" not in str(refused.value)
