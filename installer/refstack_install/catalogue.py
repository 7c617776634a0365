"""The steps, in the order in which a machine becomes a node."""

from __future__ import annotations

from refstack_install import osrelease
from refstack_install.backends.pick import pick
from refstack_install.step import Context, Step
from refstack_install.steps.bundle import BundleStep
from refstack_install.steps.configuration import Configuration, SealingKey
from refstack_install.steps.packages import TempestPackages, WorkerPackages
from refstack_install.steps.preflight import Preflight
from refstack_install.steps.registered import Registered, SelfTest
from refstack_install.steps.repository import RepositoryStep
from refstack_install.steps.unit import UnitEnabled
from refstack_install.steps.warm import Warm


def steps(context: Context) -> list[Step]:
    """Return the steps for this machine. :raises PreflightError: its distribution is not supported."""
    system, answers = context.system, context.answers
    manager = pick(system, osrelease.read(system), answers.number("packages.lock_timeout"))
    return [
        Preflight(context, manager),
        BundleStep(context),
        RepositoryStep(context, manager),
        WorkerPackages(context, manager),
        Configuration(context),
        SealingKey(context),
        TempestPackages(context, manager),
        UnitEnabled(context),
        Warm(context),  # after the units: the store fills while they start
        Registered(context),
        SelfTest(context),
    ]
