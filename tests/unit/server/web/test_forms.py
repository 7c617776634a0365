"""Forms start nothing that cannot succeed, show errors at their fields, lose nothing typed, and start one run."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from refstack_worker.server.domain.guidelines import StoredGuideline
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services.exclusions import API_TESTS
from tests.support.ledgers import Clock
from tests.support.vendor_pages import HERE, Vendor, errors
from tests.unit.server.domain.test_verdict import schema_2


@pytest.fixture
def vendor(ledger: Ledger, clock: Clock) -> Vendor:
    return Vendor(ledger, clock)


class TestNewRun:
    def test_an_untouched_form_starts_nothing(self, vendor: Vendor) -> None:
        answer = vendor.send("/runs/new", cloud_id="", version="47.0.0", what="all")
        assert answer.status_code == 400 and errors(answer.text) == {"cloud_id": "Choose a cloud."}
        assert "<title>Error: New run" in answer.text and vendor.runs == 0

    def test_python_tempestconf_may_find_the_missing_options(self, vendor: Vendor) -> None:
        assert vendor.run(discover="tempestconf", anyway="yes").status_code == 303
        assert vendor.run(discover="keystone", anyway="yes").status_code == 303
        assert [run.spec.discover for run in vendor.ledger.runs.find(RunQuery())] == ["", "tempestconf"]
        refused = vendor.run(discover="guess")
        assert refused.status_code == 400 and "discover" in errors(refused.text)

    @pytest.mark.parametrize(
        ("form", "field", "words"),
        [
            ({"version": ""}, "version", "Enter a Tempest version or an OpenStack release."),
            ({"version": "47"}, "version", "three numbers"),
            ({"what": "guideline"}, "program", "Choose a program."),
            ({"what": "names"}, "tests", "Enter at least one test."),
            ({"what": "regexes", "tests": "["}, "tests", "unterminated"),
            ({"concurrency": "many"}, "concurrency", "must be a whole number from 0 to 64"),
            ({"concurrency": "99"}, "concurrency", "must be a whole number from 0 to 64"),
            ({"timeout": "9999"}, "timeout", "must be a whole number"),
            ({"options": "nonsense"}, "options", "line 1: write section.option = value"),
            ({"options": "image.http_image = x"}, "options", "image.http_image: only the node may set this option"),
            ({"cloud_id": "999"}, "cloud_id", "there is no cloud 999"),
        ],
        ids=str,
    )
    def test_each_error_is_at_its_field_and_nothing_is_lost(
        self, vendor: Vendor, form: dict[str, str], field: str, words: str
    ) -> None:
        answer = vendor.run(**{"label": "kept text", "tag": "eu", **form})
        assert answer.status_code == 400
        assert words in errors(answer.text)[field].replace("&#39;", "'")
        control = re.search(rf'<(?:input|select|textarea) id="f-{field}"[^>]*>', answer.text)
        assert control and 'aria-invalid="true"' in control[0] and f"e-{field}" in control[0]
        assert (
            f'href="#f-{field}"' in answer.text and 'value="kept text"' in answer.text and 'value="eu"' in answer.text
        )
        assert vendor.runs == 0

    def test_a_cloud_without_passwords_needs_one(self, vendor: Vendor) -> None:
        answer = vendor.run(cloud_id=vendor.other)
        assert errors(answer.text) == {"password": "No password was given for test user &#34;u&#34;."}
        assert vendor.run(cloud_id=vendor.other, password="pw-of-the-run", anyway="yes").status_code == 303

    def test_many_clicks_start_one_run(self, vendor: Vendor) -> None:
        places = {vendor.run(request_key="k" * 22).headers["Location"] for _ in range(3)}
        assert len(places) == 1 and vendor.runs == 1
        # gone back to and changed, it is another one
        assert vendor.run(request_key="k" * 22, label="other").status_code == 303
        assert vendor.runs == 2

    def test_a_version_that_no_node_has_is_started_only_on_purpose(self, vendor: Vendor) -> None:
        answer = vendor.run(version="12.0.0")
        assert answer.status_code == 200 and vendor.runs == 0
        assert "No available node runs Tempest 12.0.0. Available: 47.0.0." in answer.text
        assert vendor.run(version="12.0.0", anyway="yes").status_code == 303

    def test_check_only_starts_nothing(self, vendor: Vendor) -> None:
        answer = vendor.run(action="check")
        assert "2 free slots" in answer.text and vendor.runs == 0

    def test_options_travel_and_the_time_limit_is_in_minutes(self, vendor: Vendor) -> None:
        answer = vendor.run(
            options="compute.image_ref = 1234\n\nnetwork.project_network_cidr = 10.0.0.0/8", timeout="90"
        )
        test_id = int(answer.headers["Location"].rpartition("/")[2])
        conf = vendor.ledger.runs.conf_json(test_id)
        assert conf["compute"] == {"image_ref": "1234"} and conf["network"]["project_network_cidr"] == "10.0.0.0/8"
        assert conf["identity"] == {"password": "kept-1"}
        assert vendor.ledger.runs.get(test_id).spec.timeout == 5400


class TestSessions:
    def test_what_was_typed_outlives_the_session(self, vendor: Vendor) -> None:
        key = vendor.key()
        vendor.forget_session()
        form = {
            "form_key": key,
            "cloud_id": str(vendor.stored),
            "version": "47.0.0",
            "label": "long text",
            "password": "pw-x",
        }
        answer = vendor.client.post("/runs/new", data=form, headers=HERE)
        assert answer.status_code == 401 and "Your session has expired" in answer.text and "pw-x" not in answer.text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.text))
        assert hidden["next"] == "/runs/new" and hidden["kept:label"] == "long text"
        again = vendor.sign_in(**hidden)
        assert again.status_code == 200 and 'value="long text"' in again.text
        assert vendor.runs == 0

    def test_another_tab_that_signed_in_again(self, vendor: Vendor) -> None:
        old = vendor.key()
        vendor.sign_in()
        form = {"form_key": old, "cloud_id": str(vendor.stored), "version": "47.0.0", "label": "long text"}
        answer = vendor.client.post("/runs/new", data=form, headers=HERE)
        assert answer.status_code == 403 and "Your entries are kept: submit again." in answer.text
        assert 'value="long text"' in answer.text and vendor.runs == 0

    def test_another_site_fills_in_nothing(self, vendor: Vendor) -> None:
        form = {"form_key": "f" * 64, "label": "of evil", "cloud_id": str(vendor.stored)}
        answer = vendor.client.post("/runs/new", data=form, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403 and "of evil" not in answer.text
        vendor.forget_session()
        answer = vendor.client.post("/runs/new", data=form, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 303 and "of evil" not in answer.text

    def test_a_read_only_session_signs_out(self, ledger: Ledger, vendor: Vendor) -> None:
        vendor.token = ledger.tokens.add("reader", ["vendor", "read"], vendor.user)[1]
        vendor.sign_in()
        assert "New run" not in vendor.client.get("/runs").text
        assert vendor.client.get("/runs/new").status_code == 403
        assert vendor.send("/sign-out").status_code == 302
        assert vendor.client.get("/runs").status_code == 302


class TestClouds:
    FORM = {"label": "Acme", "endpoint_v3": "http://127.0.0.1:1/v3", "test_user": "ann", "project_name": "interop",
            "alt_user": "bob", "alt_project_name": "second", "domain_name": "corp",
            "options": "compute.image_ref = 7"}  # fmt: skip

    def add(self, vendor: Vendor, **form: str) -> int:
        answer = vendor.send("/clouds/new", **{**self.FORM, **form})
        assert answer.status_code == 303, answer.text
        return int(answer.headers["Location"].rpartition("/")[2])

    def test_projects_are_kept_without_the_passwords(self, vendor: Vendor) -> None:
        cloud = self.add(vendor, password="pw-of-ann", keep="no")
        known = vendor.ledger.clouds.get(cloud)
        assert not known.keeps_passwords
        conf = vendor.ledger.clouds.saved_conf(cloud)
        assert conf["identity"] == {"project_name": "interop", "domain_name": "corp", "alt_project_name": "second"}
        assert conf["compute"] == {"image_ref": "7"}
        page = vendor.client.get(f"/clouds/{cloud}/change").text
        assert all(f'value="{value}"' in page for value in ("interop", "second", "corp"))
        assert "compute.image_ref = 7" in page and "pw-of-ann" not in page

    def test_a_new_password_leaves_the_others_and_all_can_be_erased(self, vendor: Vendor) -> None:
        cloud = self.add(vendor, password="pw-1", alt_password="pw-2", keep="yes")
        assert (
            vendor.send(f"/clouds/{cloud}/change", **{**self.FORM, "password": "pw-3", "keep": "yes"}).status_code
            == 303
        )
        assert vendor.ledger.clouds.saved_passwords(cloud)["identity"] == {"password": "pw-3", "alt_password": "pw-2"}
        vendor.send(f"/clouds/{cloud}/change", **{**self.FORM, "keep": "forget"})
        assert vendor.ledger.clouds.saved_passwords(cloud) == {}
        assert vendor.ledger.clouds.saved_conf(cloud)["identity"]["project_name"] == "interop"

    def test_a_plugins_address_on_another_server_takes_no_stored_password_along(self, vendor: Vendor) -> None:
        cloud = self.add(vendor, password="pw-1", alt_password="pw-2", keep="yes")
        moved = {**self.FORM, "options": "heat_plugin.auth_url = http://evil.example/v3", "keep": "yes"}
        answer = vendor.send(f"/clouds/{cloud}/change", **moved)
        assert answer.status_code == 400 and "heat_plugin.auth_url points to a different server" in answer.text
        assert vendor.send(f"/clouds/{cloud}/change", **moved, password="pw-3").status_code == 303
        assert vendor.ledger.clouds.saved_passwords(cloud) == {"identity": {"password": "pw-3"}}

    @pytest.mark.parametrize(
        ("form", "field"),
        [({"label": ""}, "label"), ({"endpoint_v3": "ftp://x/y"}, "endpoint_v3"), ({"region": "r" * 99}, "region"),
         ({"options": "x"}, "options")],
        ids=str,
    )  # fmt: skip
    def test_errors_are_at_their_fields(self, vendor: Vendor, form: dict[str, str], field: str) -> None:
        answer = vendor.send("/clouds/new", **{**self.FORM, **form})
        assert answer.status_code == 400 and field in errors(answer.text) and 'value="interop"' in answer.text

    def test_a_cloud_with_runs_says_how_many(self, vendor: Vendor) -> None:
        vendor.run()
        answer = vendor.send(f"/clouds/{vendor.stored}/delete")
        assert answer.status_code == 409 and "&#34;stored&#34; has 1 run. Delete them first." in answer.text


class TestTokens:
    def test_a_token_goes_with_the_one_that_made_it(self, vendor: Vendor) -> None:
        page = vendor.send("/tokens", name="leaked", scope="vendor", days="0").text
        found = re.search(r'id="secret">([^<]+)<', page)
        assert found and vendor.ledger.tokens.find(found[1])
        parent = vendor.ledger.tokens.find(vendor.token)
        assert parent
        vendor.ledger.tokens.revoke(parent.id)
        assert vendor.ledger.tokens.find(found[1]) is None

    def test_loading_the_page_again_makes_no_second_token(self, vendor: Vendor) -> None:
        form = {"name": "ci", "scope": "vendor", "days": "30", "request_key": "k" * 22}
        assert "Token created." in vendor.send("/tokens", **form).text
        again = vendor.send("/tokens", **form)
        assert again.status_code == 400 and "This form was already submitted" in again.text
        assert [token.name for token in vendor.ledger.tokens.all()].count("ci") == 1

    def test_errors(self, vendor: Vendor) -> None:
        answer = vendor.send("/tokens", name="", scope="vendor", days="30")
        assert answer.status_code == 400 and errors(answer.text) == {"name": "must not be empty"}
        answer = vendor.send("/tokens", name="x", scope="operator", days="30")
        assert "You can&#39;t create operator tokens." in answer.text and 'value="x"' in answer.text


YAML = "- username: u1\r\n  password: pw-of-u1\r\n- username: u2\r\n  password: pw-of-u2\r\n"
NEW = {"label": "c", "endpoint_v3": "https://k.example:5000", "test_user": "u"}


class TestAccounts:
    @pytest.mark.parametrize("how", ["pasted", "file"])
    def test_accounts_are_kept_with_a_cloud(self, vendor: Vendor, how: str) -> None:
        given: Any = {"accounts": YAML} if how == "pasted" else {"accounts_file": (io.BytesIO(YAML.encode()), "a.yaml")}
        answer = vendor.send("/clouds/new", **NEW, keep="yes", **given)
        known = vendor.ledger.clouds.get(int(answer.headers["Location"].rpartition("/")[2]))
        assert (known.accounts, known.cloud.endpoint_v3) == (2, "https://k.example:5000/v3")
        shown = vendor.client.get(f"/clouds/{known.cloud.id}").text
        assert "<dt>Accounts for the tests</dt><dd>2</dd>" in shown and "pw-of" not in shown
        vendor.send(f"/clouds/{known.cloud.id}/change", **NEW, keep="yes")
        assert vendor.ledger.clouds.get(known.cloud.id).accounts == 2
        vendor.send(f"/clouds/{known.cloud.id}/change", **NEW, keep="yes", forget_accounts="yes")
        assert vendor.ledger.clouds.get(known.cloud.id).accounts == 0

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"accounts": "nonsense", "keep": "yes"}, "neither JSON"),
            ({"accounts": YAML, "keep": "no"}, "Store passwords"),
        ],
    )
    def test_what_is_wrong_stands_at_the_field_and_no_password_comes_back(
        self, vendor: Vendor, given: Any, said: str
    ) -> None:
        answer = vendor.send("/clouds/new", **NEW, **given)
        assert answer.status_code == 400 and "pw-of" not in answer.text
        found = re.search(r'id="e-accounts">([^<]*)', answer.text)
        assert found and said in found[1]

    def test_a_run_has_its_own_accounts(self, vendor: Vendor) -> None:
        assert vendor.run(cloud_id=vendor.other, accounts=YAML).status_code == 303
        (run,) = vendor.ledger.runs.find(RunQuery())
        (submission,) = vendor.ledger.submissions.next(test_id=run.test_id)
        assert submission.conf_json["account.2"] == {"username": "u2", "password": "pw-of-u2"}


def test_a_rerun_has_its_own_accounts(vendor: Vendor) -> None:
    first = int(vendor.run(cloud_id=vendor.other, accounts=YAML).headers["Location"].rpartition("/")[2])
    vendor.send(f"/runs/{first}/cancel")
    assert 'name="accounts"' in vendor.client.get(f"/runs/{first}").text
    again = vendor.send(f"/runs/{first}/rerun", only="all", accounts=YAML.replace("u2", "u3"))
    test_id = int(again.headers["Location"].rpartition("/")[2])
    (submission,) = vendor.ledger.submissions.next(test_id=test_id)
    assert submission.conf_json["account.2"]["username"] == "u3"


def test_a_rerun_that_is_refused_leaves_its_form_open(vendor: Vendor) -> None:
    first = vendor.run(cloud_id=vendor.other, accounts=YAML).headers["Location"]
    vendor.send(f"{first}/cancel")
    refused = vendor.send(f"{first}/rerun", only="all", accounts="pw-of-u1: nonsense", password="pw-x")
    assert refused.status_code == 400 and "neither JSON" in errors(refused.text)["accounts"]
    assert '<details class="menu" open><summary class="button">Rerun' in refused.text
    assert "pw-x" not in refused.text and "pw-of-u1" not in refused.text
    refused = vendor.send(f"{first}/rerun", only="all", password="x" * 100_000)
    assert refused.status_code == 400 and "1 problem to fix" in refused.text and "password" in refused.text


def test_lists_of_tests_as_any_editor_saves_them(vendor: Vendor) -> None:
    for text in ("\ufefftempest.a\t# why\r\n\r\ntempest.b\r\n", '["tempest.a", "tempest.b"]'):
        vendor.run(what="names", tests=text)
    for run in vendor.ledger.runs.find(RunQuery()):
        assert run.spec.testcases is not None and run.spec.testcases.names == ("tempest.a", "tempest.b")
    answer = vendor.run(what="names", tests='["tempest.a",]')
    assert answer.status_code == 400 and "not a JSON list" in answer.text


def test_tests_are_left_out_with_a_reason(vendor: Vendor) -> None:
    vendor.run(what="names", tests="tempest.a\ntempest.b", exclude="tempest.b # too slow\r\n")
    (run,) = vendor.ledger.runs.find(RunQuery())
    assert run.spec.testcases is not None and run.spec.testcases.names == ("tempest.a",)
    answer = vendor.run(what="names", tests="tempest.a", exclude="a b")
    found = re.search(r'id="e-exclude">([^<]*)', answer.text)
    assert answer.status_code == 400 and found and "neither the name of a test" in found[1]


def test_an_option_of_the_nodes_is_named_at_its_field(vendor: Vendor) -> None:
    answer = vendor.run(options="DEFAULT.log_file = /etc/x")
    assert errors(answer.text) == {"options": "DEFAULT.log_file: only the node may set this option"}


def test_plugins_have_a_version(vendor: Vendor) -> None:
    asked = vendor.run(plugins="heat-tempest-plugin == 2.0.0\r\n\r\n")
    # the node has no plugin
    assert "with heat-tempest-plugin 2.0.0" in asked.text and not vendor.ledger.runs.find(RunQuery())
    vendor.run(plugins="heat-tempest-plugin == 2.0.0\r\n\r\n", anyway="yes")
    (run,) = vendor.ledger.runs.find(RunQuery())
    assert run.spec.plugins == {"heat-tempest-plugin": "2.0.0"}
    answer = vendor.run(plugins="heat-tempest-plugin")
    found = re.search(r'id="e-plugins">([^<]*)', answer.text)
    assert answer.status_code == 400 and found and "NAME==VERSION" in found[1]


def test_all_api_tests_are_one_choice(vendor: Vendor) -> None:
    stored = vendor.ledger.guidelines.add(schema_2(), StoredGuideline(0, "", "", "", "op", None))
    program = next(iter(vendor.ledger.guidelines.get(stored.id, None)[1].programs))
    sent = {"what": "guideline", "program": f"{stored.id}:{program}", "all_api": "yes", "anyway": "yes"}
    assert vendor.run(**sent).status_code == 303
    (run,) = vendor.ledger.runs.find(RunQuery())
    assert run.spec.testcases is not None and run.spec.testcases.regexes == (API_TESTS,)


def test_a_version_is_needed_without_a_program(vendor: Vendor) -> None:
    assert "Enter a Tempest version" in vendor.run(version="").text
    assert vendor.runs == 0


def test_a_guideline_that_powershell_saved(vendor: Vendor) -> None:
    file = (io.BytesIO(schema_2().encode("utf-16")), "2020.06.json")
    assert vendor.send("/guidelines", file=file).status_code == 303
    assert [one.name for one in vendor.ledger.guidelines.all(None)] == ["2020.06"]
