"""The rows of ``docs/parity.md``: which page, call and command do the same thing."""

from __future__ import annotations

from dataclasses import dataclass

BROWSER = "for browsers alone"
HOST = "acts on the files of the server's machine"
BY_PROGRAMS = "for programs that describe or load pages"


@dataclass(frozen=True)
class Row:
    """One thing that can be done."""

    what: str
    pages: tuple[str, ...] = ()
    """Endpoints of pages."""
    calls: tuple[str, ...] = ()
    """Views of the API."""
    commands: tuple[str, ...] = ()
    why: str = ""
    """Why a cell is empty."""


def _row(what: str, pages: str = "", calls: str = "", commands: str = "", why: str = "") -> Row:
    split = [tuple(name.strip() for name in cell.split(",") if name.strip()) for cell in (pages, calls, commands)]
    return Row(what, split[0], split[1], split[2], why)


ROWS = (
    _row("who am I", "show_about_get", "show_me", "whoami"),
    _row("list and filter runs", "home_get, list_runs_get", "list_runs", "run list"),
    _row("start a run", "new_run_get, create_run_post", "create_run", "run create"),
    _row("check a run before it starts", "create_run_post", "check_run", "run create"),
    _row(
        "a run: state, messages, attempts, place in the queue",
        "show_run_get",
        "show_run, list_messages, list_attempts, show_place",
        "run show",
    ),
    _row("nodes that share a run", "show_run_get", "list_shards", "run show"),
    _row("follow a run", "follow_run_get", "follow_run", "run watch"),
    _row("follow all runs", "", "follow_runs", "", "a stream for programs; the lists are asked again"),
    _row("console of a run", "show_console_get", "show_console", "run log"),
    _row("Tempest's own log", "show_log_get", "download_log", "run log"),
    _row("cancel a run", "cancel_run_post", "cancel_run", "run cancel"),
    _row("delete a run", "delete_run_post", "delete_run", "run delete"),
    _row("run it again", "rerun_post", "rerun", "run rerun"),
    _row("counts, duration and failures of a run", "show_run_get", "show_report", "run report"),
    _row("its tests", "show_run_get, show_test_get", "list_tests", "run tests"),
    _row("its verdict, by its own program or another", "show_run_get", "show_verdict", "run verdict"),
    _row("compare two runs", "compare_runs_get", "compare_runs", "run compare"),
    _row("download a result", "download_get", "download_export, download_subunit", "run export"),
    _row("upload a result to RefStack", "upload_run_post", "upload_result", "run upload, run sign-request"),
    _row("import a result", "", "import_result", "run import", "for scripts"),
    _row("share a run with a vendor", "share_run_post", "share_run, unshare_run", "run share, run unshare"),
    _row(
        "links to a run's report without a sign-in",
        "add_run_link_post, delete_run_link_post, show_run_get, show_shared_run",
        "add_run_link, list_run_links, delete_run_link",
        "link create, link list, link delete",
    ),
    _row(
        "badge and feed of a cloud and program",
        "add_cloud_link_post, delete_cloud_link_post, show_cloud_get, show_badge, show_feed",
        "add_cloud_link, list_cloud_links, delete_cloud_link",
        "badge create, badge list, badge delete",
    ),
    _row("verdicts by cloud and guideline", "show_matrix_get", "show_matrix", "matrix"),
    _row("vendors that a run is shared with", "show_run_get", "list_shares", "run shares"),
    _row("verify a signed verdict", "", "", "verify", "without the server, from the file"),
    _row("list clouds", "list_clouds_get", "list_clouds", "cloud list"),
    _row("add a cloud", "new_cloud_get, add_cloud_post", "add_cloud", "cloud create"),
    _row("a cloud", "show_cloud_get", "show_cloud", "cloud show"),
    _row("change a cloud", "edit_cloud_get, change_cloud_post", "change_cloud", "cloud update"),
    _row("delete a cloud", "delete_cloud_post", "delete_cloud", "cloud delete"),
    _row("test the connection to a cloud", "check_cloud_post", "check_cloud", "cloud check"),
    _row("history of a cloud", "show_cloud_get", "list_history", "cloud history"),
    _row("list guidelines", "list_guidelines_get", "list_guidelines", "guideline list"),
    _row("add a guideline", "add_guideline_post", "add_guideline", "guideline add"),
    _row("delete a guideline", "delete_guideline_post", "delete_guideline", "guideline delete"),
    _row(
        "capabilities and tests of a guideline",
        "show_guideline_get",
        "show_guideline, list_guideline_tests",
        "guideline show, guideline capabilities, guideline tests",
    ),
    _row(
        "own tokens",
        "list_tokens_get, create_token_post, revoke_token_post",
        "list_own_tokens, create_own_token, revoke_own_token",
        "token list, token create, token revoke",
    ),
    _row(
        "tokens of all (operators)",
        "list_tokens_get, create_token_post, revoke_token_post",
        "list_tokens, create_token, revoke_token",
        "token list, token create, token revoke",
    ),
    _row(
        "own key for uploads",
        "",
        "show_upload_key, set_upload_key, delete_upload_key",
        "key show, key set, key delete, key proof",
        "private keys are not pasted into pages",
    ),
    _row(
        "vendors and users (operators)",
        "list_vendors_get, add_account_post",
        "list_vendors, add_vendor, list_users, add_user",
        "vendor list, vendor create, user list, user create",
    ),
    _row("invite a user to sign in (operators)", "invite_user_post", "invite_user", "user invite"),
    _row(
        "forget who a user is at the provider",
        "",
        "forget_identities",
        "user forget-identity",
        "rare; not a click away",
    ),
    _row("nodes (operators)", "show_fleet_get, show_node_get", "list_nodes", "worker list, worker show"),
    _row("pause, resume and drain a node", "ask_node_post", "ask_node", "worker pause, worker resume, worker drain"),
    _row(
        "keys of single nodes",
        "",
        "list_keys, new_token, revoke",
        "worker keys, worker enrol, worker revoke",
        "a token for enrolment goes from one command line to another",
    ),
    _row(
        "back up and restore the server",
        commands="backup create, backup restore, backup settle, backup show",
        why=HOST,
    ),
    _row("forget a node", "forget_node_post", "forget_node", "worker forget"),
    _row("queue and demand", "show_fleet_get", "show_queue, show_demand", "status, worker demand"),
    _row(
        "pause and resume the queue",
        "pause_queue_post, resume_queue_post",
        "pause_queue, resume_queue",
        "pause, resume",
    ),
    _row("audit log", "show_audit_get, download_audit_get", "list_audit", "audit list"),
    _row("announcement", "announce_post", "show_announcement, announce", "announcement show, announcement set"),
    _row(
        "change a vendor, its limit of open runs",
        "show_vendor_get, change_vendor_post",
        "change_vendor",
        "vendor update",
    ),
    _row("disable and enable a vendor", "disable_vendor_post", "change_vendor", "vendor disable, vendor enable"),
    _row("remove a vendor", "remove_vendor_post", "remove_vendor", "vendor delete"),
    _row("change a user, move to another vendor", "show_user_get, change_user_post", "change_user", "user update"),
    _row("disable and enable a user", "disable_user_post", "change_user", "user disable, user enable"),
    _row("transfer what a user has", "transfer_user_post", "transfer_user", "user transfer"),
    _row("remove a user", "remove_user_post", "remove_user", "user delete"),
    _row("remove an ended token from the list", "remove_token_post", "remove_token", "token delete"),
    _row("keep a run regardless of age", "pin_run_post", "pin_run, unpin_run", "run pin, run unpin"),
    _row("versions of server, database, nodes", "show_about_get", "show_versions", "about"),
    _row(
        "schedules",
        "list_schedules_get, add_schedule_post, delete_schedule_post",
        "list_schedules, show_schedule, add_schedule, delete_schedule",
        "schedule list, schedule create, schedule delete",
    ),
    _row(
        "pause and resume a schedule",
        "pause_schedule_post",
        "change_schedule",
        "schedule pause, schedule resume",
    ),
    _row(
        "notifications by mail and webhook",
        "list_notifications_get, add_notification_post, delete_notification_post",
        "list_notifications, add_notification, delete_notification",
        "notification list, notification create, notification delete",
    ),
    _row(
        "pause and resume a notification",
        "pause_notification_post",
        "change_notification",
        "notification pause, notification resume",
    ),
    _row(
        "a notification and what was sent",
        "show_notification_get",
        "show_notification, list_deliveries",
        "notification log",
    ),
    _row("try a notification", "test_notification_post", "test_notification", "notification test"),
    _row(
        "a new secret for a webhook",
        "renew_notification_secret_post",
        "renew_notification_secret",
        "notification secret",
    ),
    _row(
        "sign in and out",
        "show_sign_in, sign_in, sign_out_post, begin_sign_in, finish_sign_in, accept_invitation",
        why=BROWSER,
    ),
    _row("describe the API", "show_api_reference", "show_openapi, show_problem", why=BY_PROGRAMS),
    _row("files that pages load", "static", why=BY_PROGRAMS),
    _row(
        "run the services, their database and keys",
        commands="standalone, api, monitor, config check, doctor, db upgrade, db downgrade, db prune, db version, "
        "keys generate, keys show, keys rotate",
        why=HOST,
    ),
)
