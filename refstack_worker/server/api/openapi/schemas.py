"""The shapes of the answers of ``/v1``. What it accepts is described beside the views and in ``services/``."""

from __future__ import annotations

from refstack_worker.contract.execute_test import DISCOVERERS
from refstack_worker.contract.states import RunState
from refstack_worker.server.domain.schedules import DAYS
from refstack_worker.server.results.exports.formats import FORMATS
from refstack_worker.server.services.inputs.schema import (
    FLAG,
    ID,
    MAX_ID,
    NUMBER,
    OBJECT,
    TIME,
    Json,
    array,
    choice,
    integer,
    maybe,
    shape,
    string,
)


def reference(name: str) -> Json:
    """Return a reference to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def page(items: str, name: str, cursor: str = "") -> Json:
    """Return the schema of a list; with a cursor of one that comes in pages."""
    more = {cursor: maybe(integer(description="Where the next page begins; null: this is the last"))} if cursor else {}
    return shape(**{items: array(reference(name))}, **more)


NEXT = integer(0, MAX_ID, description="Only entries after this one: the next page")
STATE = choice(*(state.value for state in RunState))
STATUS = choice("passed", "failed", "skipped")
FORMAT = choice(*FORMATS)
RUN, CLOUD, GUIDELINE = reference("Run"), reference("Cloud"), reference("Guideline")
EVENT_STREAM = "text/event-stream"
_COUNTS = shape(passed=integer(0), failed=integer(0), skipped=integer(0))
_KIND = shape(
    passed=integer(0),
    total=integer(0),
    by_id=integer(0, description="Passed under a name that the guideline does not know"),
    refstack=shape(passed=integer(0), total=integer(0)),
    capabilities=array(OBJECT),
)
_PROGRESS = shape(
    total=integer(0, description="Tests selected; 0: not known yet"),
    done=integer(0),
    passed=integer(0),
    failed=integer(0),
    skipped=integer(0),
    seconds_left=integer(0, description="Estimate; 0: none"),
    test=string(description="The test that ended last"),
)

NOTIFICATION = shape(
    id=ID,
    channel=choice("webhook", "mail"),
    target=string(description="URL of a webhook, or an e-mail address"),
    kinds=array(string()),
    scope=choice("own", "vendor", "all"),
    owner_id=maybe(integer(description="Its user; null: the operators")),
    label=string(),
    created_by=string(),
    paused=FLAG,
    problem=string(description="Why the server paused it; empty if it did not"),
    created_at=TIME,
    paused_at=TIME,
)

SCHEMAS: Json = {
    "Problem": {
        **shape(
            type=string(description="Where this kind of problem is explained"),
            title=string(),
            status=integer(400, 599),
            detail=string(),
            reason=string(description="Fixed word for programs"),
        ),
        "description": "RFC 9457",
    },
    "FieldError": shape(field=string(), message=string()),
    "Me": shape(token=string(), scopes=array(string()), user=maybe(reference("User"))),
    "Run": shape(
        test_id=ID,
        state=STATE,
        attempt=integer(1),
        reason=string(description="Fixed word; why it failed or was cancelled"),
        message=string(),
        label=string(),
        created_by=string(),
        tempest_version=maybe(string()),
        openstack_release=maybe(string()),
        plugins=OBJECT,
        testcases=maybe(OBJECT),
        concurrency=integer(0),
        timeout=integer(0, description="Seconds"),
        shards=integer(0, description="Nodes that were to share it; 0: it was not to be split"),
        tag=string(),
        priority=integer(-1, 1),
        discover=choice(*DISCOVERERS, description="What finds the Tempest options that are not set"),
        cloud=maybe(shape(id=ID, label=string())),
        worker=string(description="The node that runs or ran it"),
        progress=_PROGRESS,
        counts=_COUNTS,
        rerun_of=maybe(integer()),
        program=maybe(string(description="With its guideline")),
        verdict=maybe(shape(passed=FLAG, count=integer(0), total=integer(0))),
        owner=maybe(string(description="User and vendor")),
        pinned={**FLAG, "description": "Kept regardless of age"},
        vendor=maybe(string(description="Name of the owner's vendor")),
        place=maybe(reference("Place")),
        url=string(description="Its page"),
        kind=choice(
            "run", "imported", "split", "shard",
            description="imported: its result was made elsewhere; split: shards carry it out; shard: one of these",
        ),
        created_at=TIME,
        updated_at=TIME,
        started_at=TIME,
        ended_at=TIME,
    ),
    "CreatedRun": {
        "allOf": [RUN, shape(warnings=array(string(), description="Likely problems of the run"))],
    },
    "PastRun": shape(test_id=ID, label=string(), passed=integer(0), failed=integer(0), seconds=NUMBER, ended_at=TIME),
    "Console": shape(
        attempt=integer(0),
        lines=array(
            {
                **shape(number=integer(0), event=choice("test", "request"), time=NUMBER),
                "description": "A test that started or ended, or a request and its response",
            }
        ),
        dropped=integer(0, description="Lines that the node could not keep"),
        next_after=maybe(integer(description="Number of the last line here; null: none")),
    ),
    "Attempt": shape(
        attempt=integer(1),
        is_current=FLAG,
        worker=string(),
        outcome=string(),
        note=string(),
        resource_prefix=string(description="Prefix of the names of its resources in the cloud"),
    ),
    "Shard": shape(
        number=integer(1),
        test_id=maybe(integer(description="Its own run; null: it waits for the other shards")),
        state=STATE,
        attempt=integer(0),
        worker=string(description="The node that runs or ran it"),
        reason=string(),
        message=string(),
        tests=integer(0, description="How many tests it has"),
        waits_for_others={**FLAG, "description": "It starts when the others have ended"},
        testcases=array(string(), description="Its test classes and tests"),
        progress=_PROGRESS,
        started_at=TIME,
        ended_at=TIME,
    ),
    "Message": shape(id=integer(1), message=string(), time=TIME),
    "Place": shape(
        ahead=integer(0, description="Runs before it that need the same kind of node"),
        slots=integer(0, description="Slots of ready nodes that could take it"),
        seconds=maybe({**NUMBER, "description": "Estimated seconds until it starts; null: no estimate"}),
        pause=maybe(shape(at=TIME, reason=string(description="Of the operator; may be empty"))),
    ),
    "Test": shape(
        position=integer(1),
        name=string(),
        uuid=string(),
        status=STATUS,
        seconds=NUMBER,
        reason=string(description="Why it was skipped, or the traceback; secrets masked"),
        started_at=TIME,
    ),
    "Report": shape(
        run=RUN, passed=integer(0), failed=integer(0), skipped=integer(0), seconds=NUMBER,
        causes=array(
            shape(
                line=string(description="The error, as in the first test that failed with it"),
                fix=string(description="What probably helps; empty: not known"),
                tests=integer(1, description="Tests that failed with it"),
            )
        ),
        failed_tests=array(reference("Test")),
    ),
    "Verdict": shape(
        guideline=string(),
        origin=string(description="official, or own: a vendor added it"),
        digest=string(description="SHA-256 of the guideline file"),
        program=string(),
        target=string(description="RefStack's word for the program"),
        passed=FLAG,
        combined=array(integer(1), description="Ids of the runs that it combines; empty: this run alone"),
        not_combined=string(description="Why it does not include the run that this one reran; empty: it does, or none"),
        **{kind: _KIND for kind in ("required", "advisory")},
    ),
    "Comparison": shape(**{name: array(reference("Test")) for name in ("broken", "mended", "other", "added", "gone")}),
    "Cloud": shape(
        id=ID, label=string(), endpoint_v3=string(), region=string(), release=string(), test_user=string(),
        alt_user=string(), admin_user=string(), user_id=maybe(integer()), keeps_passwords=FLAG,
        accounts=integer(0, description="Accounts for the tests that are stored, encrypted"),
        options={**OBJECT, "description": "Tempest options for every run, none of them secret"},
        check=maybe(shape(ok=FLAG, said=string(), at=TIME)),
    ),
    "Link": shape(
        id=ID, program=string(description="Of a badge and feed; empty: a link to a run"), created_by=string(),
        created_at=TIME, expires_at=TIME,
    ),
    "CloudVerdicts": shape(id=ID, label=string(), verdicts=array(OBJECT)),
    "GuidelineTest": shape(name=string(), uuid=string(), aliases=array(string()), flagged=FLAG),
    "Guideline": shape(
        id=ID,
        name=string(),
        origin=string(description="official, or own: a vendor added it"),
        digest=string(description="SHA-256 of the file"),
        source=string(),
        added_by=string(),
        created_at=TIME,
    ),
    "Node": shape(
        name=string(), state=string(), versions=array(string()), slots=integer(0), busy=integer(0),
        silent_seconds={**NUMBER, "description": "Since its last report"},
        asked=maybe(string(description="Command that it has not confirmed yet: pause, resume or drain")),
        key=string(description="Id of its own key; empty: it has the fleet's"),
        key_since=TIME,
    ),
    "NodeKey": shape(
        id=string(), node=string(), state=string(description="active, replaced or revoked"), enrolled_at=TIME,
        replaced_at=TIME,
        revoked_at={**TIME, "description": "Since when messages with it are refused"},
        revoked_by=string(description="Empty for a replaced key: the node has used the new one"),
    ),
    "EnrolmentToken": shape(
        node=string(), token=string(description="Works once; it is not shown again"), expires_at=TIME
    ),
    "NodeCommand": shape(node=string(), id=integer(1), action=string()),
    "Queue": shape(
        paused=FLAG,
        runs={"type": "object", "additionalProperties": integer(0)},
        pause=maybe(shape(by=string(), at=TIME, reason=string())),
    ),
    "AuditEntry": shape(
        id=ID,
        at=TIME,
        actor=string(description="Name of the token and its user"),
        token_id=maybe(integer()),
        address=string(),
        action=string(),
        target=string(),
    ),
    "Check": shape(warnings=array(string()), outlook=string(description="What would run, and where")),
    "Demand": shape(
        function=string(description="Gearman function"),
        version=string(),
        queued=integer(0),
        running=integer(0),
        waited=NUMBER,
        slots=integer(0),
        needed=integer(0, description="Slots that are missing"),
    ),
    "Token": shape(id=ID, name=string(), scopes=array(string()), user_id=maybe(integer()), created_at=TIME),
    "Schedule": shape(
        id=ID,
        cloud=shape(id=ID, label=string()),
        label=string(),
        time=string(description="Of the day, UTC"),
        days=array(choice(*DAYS)),
        run=OBJECT,
        owner_id=maybe(integer(description="Its user; null: the operators")),
        created_by=string(),
        paused=FLAG,
        last_test_id=maybe(integer()),
        problem=string(description="Why no run started when it was last due; empty if one started"),
        created_at=TIME,
        last_at=TIME,
        next_at=TIME,
    ),
    "Notification": NOTIFICATION,
    "NewNotificationSecret": {
        **NOTIFICATION,
        "required": [*NOTIFICATION["required"], "secret"],
        "properties": {
            **NOTIFICATION["properties"],
            "secret": maybe(string(description="Signs the messages of a webhook; shown only once")),
        },
    },
    "Delivery": shape(
        id=ID,
        kind=string(),
        test_id=maybe(integer()),
        state=choice("waiting", "accepted", "given-up"),
        tries=integer(0),
        status=integer(0, description="The receiver's last answer, HTTP or SMTP; 0: none"),
        error=string(description="Of the last try; empty: accepted, or not tried yet"),
        next_try_at=TIME,
        created_at=TIME,
        ended_at=TIME,
    ),
    "Vendor": shape(
        id=ID,
        name=string(),
        contact_name=string(),
        contact_email=string(),
        disabled=FLAG,
        max_open_runs=maybe(integer(0, description="Of its own; null: the server's MAX_OPEN_RUNS")),
    ),
    "User": shape(
        id=ID,
        name=string(),
        email=string(),
        vendor_id=maybe(integer()),
        disabled={**FLAG, "description": "Alone, or with the vendor"},
    ),
}  # fmt: skip
SCHEMAS["Problem"]["properties"]["errors"] = array(reference("FieldError"))
SCHEMAS["Verdict"]["properties"].update({kind: _KIND for kind in ("deprecated", "removed")})
