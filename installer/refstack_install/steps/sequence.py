"""The list of steps that turn a machine into a node."""

from __future__ import annotations

from refstack_install.hosts import os_release
from refstack_install.packages.choose import choose
from refstack_install.step import Context, Step
from refstack_install.steps.bundle import BundleStep
from refstack_install.steps.enrolment import EnrolmentStep
from refstack_install.steps.packages import TempestPackagesStep, WorkerPackagesStep
from refstack_install.steps.preflight import PreflightStep
from refstack_install.steps.registration import RegistrationStep
from refstack_install.steps.repository import RepositoryStep
from refstack_install.steps.selftest import SelfTestStep
from refstack_install.steps.units import UnitsStep
from refstack_install.steps.warm import WarmStep
from refstack_install.steps.worker_files import ConfigurationStep, KeysStep


def steps(context: Context) -> list[Step]:
    """Return the steps for this machine, in order. :raises PreflightError: its distribution is not supported."""
    system, answers = context.system, context.answers
    manager = choose(system, os_release.read(system), answers.number("packages.lock_timeout"))
    return [
        PreflightStep(context, manager),
        BundleStep(context),
        RepositoryStep(context, manager),
        WorkerPackagesStep(context, manager),
        ConfigurationStep(context),
        KeysStep(context),
        EnrolmentStep(context),
        TempestPackagesStep(context, manager),
        UnitsStep(context),
        WarmStep(context),  # after the units, so that the store fills while they start
        RegistrationStep(context),
        SelfTestStep(context),
    ]
