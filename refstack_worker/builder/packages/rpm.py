"""The recipe for an RPM of one Tempest version: a spec file, and rpmbuild."""

from __future__ import annotations

import shutil
import tempfile
import textwrap
import time
from pathlib import Path

from refstack_worker import process
from refstack_worker.builder.packages.package import (
    DATA,
    HOMEPAGE,
    MAINTAINER,
    VIRTUAL,
    TempestPackage,
    rpm_version,
)

SETTINGS = {
    "_buildhost": "reproducible",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "source_date_epoch_from_changelog": "0",
    "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    "_binary_payload": "w2.zstdio",
    "_build_id_links": "none",
    "__os_install_post": "%{nil}",
    "debug_package": "%{nil}",
}
"""Macros that make the bytes depend on nothing but the content."""


def build(package: TempestPackage, tree: Path, out: Path) -> Path:
    """Make the ``.rpm`` of the files below ``tree`` and return it."""
    with tempfile.TemporaryDirectory(prefix="refstack-rpm-") as name:
        top = Path(name)
        spec = top / f"{package.name}.spec"
        spec.write_text(spec_file(package, tree))
        machine = package.machine or "noarch"
        settings = {**SETTINGS, "_topdir": str(top)}
        defines = [word for key, value in settings.items() for word in ("--define", f"{key} {value}")]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(package.epoch)}
        process.run(["rpmbuild", "-bb", "--target", machine, *defines, spec], process.Options(cwd=top, env=env))
        made = top / "RPMS" / f"{package.name}-{rpm_version(package.tempest)}-{package.revision}.{machine}.rpm"
        target = out / made.name
        shutil.copyfile(made, target)
    return target


def spec_file(package: TempestPackage, tree: Path) -> str:
    """Return the spec file. :param tree: the files as they will be installed."""
    date = time.strftime("%a %b %d %Y", time.gmtime(package.epoch))
    text = "\n\n".join("\n".join(textwrap.wrap(paragraph, 78)) for paragraph in package.description())
    facts = "\n".join(
        "\n".join(textwrap.wrap(f"{name.replace('Refstack-', '')}: {value}", 78, subsequent_indent=" "))
        for name, value in package.facts()
    )
    fields = [
        ("Name", package.name),
        ("Version", rpm_version(package.tempest)),
        ("Release", str(package.revision)),
        ("Summary", package.summary),
        ("License", licence_field(package)),
        ("URL", HOMEPAGE),
        ("AutoReqProv", "no"),
        ("Requires", requires(package)),
        ("Requires", f"refstack-execute-test >= {package.execute_test}~"),
        ("Provides", f"{VIRTUAL} = {rpm_version(package.tempest)}"),
        *(("Provides", f"{name} = {rpm_version(version)}") for name, version in package.provided_plugins),
        *(("Provides", f"{VIRTUAL}(openstack:{release})") for release in package.releases),
        *((("BuildArch", "noarch"),) if not package.machine else ()),
    ]
    head = "".join(f"{name}: {value}\n" for name, value in fields)
    base = f"/{package.folder}"
    return (
        f"{head}\n%description\n{text}\n\n{facts}\n\n"
        f"%install\nmkdir -p %{{buildroot}}\ncp -a {tree}/. %{{buildroot}}/\n\n"
        f"%files\n%dir /{DATA}\n%dir {base}\n{base}/pylock*.toml\n{base}/wheels\n{base}/sbom.cdx.json\n"
        f"%license {base}/licences\n\n"
        f"%changelog\n* {date} {MAINTAINER} - {rpm_version(package.tempest)}-{package.revision}\n"
        f"- Tempest {package.tempest}, locked for Python {', '.join(package.pythons)}\n"
    )


def requires(package: TempestPackage) -> str:
    """Return the relation to the interpreters: one of them, by what every RPM distribution's Python provides."""
    wanted = [package.interpreter_package(series) or f"python(abi) = {series}" for series in package.pythons]
    return wanted[0] if len(wanted) == 1 else f"({' or '.join(wanted)})"


def licence_field(package: TempestPackage) -> str:
    """Return all licences in one expression; a licence without an SPDX expression is included by reference."""
    named = {about.licence for _, about in package.licences if about.is_spdx} | {"Apache-2.0"}
    others = any(not about.is_spdx for _, about in package.licences)
    words = [f"({text})" if " OR " in text.upper() else text for text in sorted(named)]
    return " AND ".join([*words, *(["LicenseRef-See-SBOM"] if others else [])])
