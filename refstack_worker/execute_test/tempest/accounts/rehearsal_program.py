"""The program that :mod:`rehearsal` runs with Tempest's own Python: it logs in and hands out accounts as Tempest does.

It stands here as text, because it needs Tempest's modules and none of this project's.
"""

REHEARSAL_PROGRAM = r"""
import copy, importlib, inspect, json, logging, random, sys, time, unittest

CHANCES = 3
STEPS = 4000


def short(error):
    return " ".join(("%s: %s" % (type(error).__name__, error)).split())[:600]


def log_in(answer, asked):
    from tempest import clients
    from tempest import config
    from tempest.common import credentials_factory as factory
    from tempest.lib import exceptions
    conf = config.CONF
    users = [{key: value for key, value in account.items() if key not in ("roles", "types", "resources")}
             for account in asked["accounts"]]
    for user in users[:10] or [None]:
        for chance in range(CHANCES):
            try:
                creds = factory.get_credentials(**user) if user else factory.get_configured_admin_credentials()
                provider = clients.Manager(credentials=creds).auth_provider
                provider.set_auth()
                break
            except Exception as error:
                refused = (exceptions.ClientRestClientException, exceptions.InvalidCredentials)
                if chance == CHANCES - 1 or isinstance(error, refused):
                    answer["login_error"] = short(error)
                    answer["login_user"] = user.get("username", "") if user else conf.auth.admin_username
                    return
                time.sleep(1)
    for name, section in asked["services"]:
        group = getattr(conf, section.replace("-", "_"))
        interface = conf.identity.v3_endpoint_type if name == "identity" else group.endpoint_type
        wanted = {"service": group.catalog_type, "endpoint_type": interface,
                  "region": getattr(group, "region", "") or conf.identity.region}
        try:
            answer["endpoints"][name] = provider.base_url(wanted)
        except Exception as error:
            # what follows is the whole token
            answer["missing"][name] = short(error).partition(" Scope:")[0]


def class_of(name):
    words = name.partition("[")[0].partition("(")[0].split(".")
    for at in range(len(words) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(words[:at]))
        except ImportError:
            continue
        for word in words[at:-1]:
            found = getattr(found, word)
        return found, getattr(found, words[-1], None)
    raise ImportError(name)


class Stub:
    # In the place of an account's clients and network.

    def __init__(self, account):
        self.credentials = self
        self.account = account

    def get(self, name):
        return self.account.get(name)


def pretending(accounts):
    # A provider as Tempest makes it, but for the files and requests with which it hands an account out.
    from tempest import config
    from tempest.lib import exceptions
    from tempest.lib.common import preprov_creds
    conf = config.CONF

    class Provider(preprov_creds.PreProvisionedCredentialProvider):
        def _get_free_hash(self, hashes):
            for one in list(hashes):
                if one not in self.taken:
                    self.taken.add(one)
                    self.mine.append(one)
                    return one
            raise exceptions.InvalidCredentials("all accounts that would do are in use")

        def _get_creds(self, *args, **kwargs):
            roles = args[0] if args else kwargs.get("roles")
            self.asked.append(list(roles or []))
            return super(Provider, self)._get_creds(*args, **kwargs)

        def _wrap_creds_with_network(self, one):
            return Stub(self.hash_dict["creds"][one])

        def fresh(self, taken):
            other = copy.copy(self)
            other._creds, other.taken, other.mine, other.asked = {}, taken, [], []
            return other

    preprov_creds.read_accounts_yaml = lambda path: copy.deepcopy(accounts)
    return Provider(identity_version=conf.identity.auth_version, test_accounts_file="-", accounts_lock_dir="-",
                    name="rehearsal", credentials_domain=conf.auth.default_credentials_domain_name,
                    admin_role=conf.identity.admin_role,
                    object_storage_operator_role=conf.object_storage.operator_role,
                    object_storage_reseller_admin_role=conf.object_storage.reseller_admin_role)


class Skipped(Exception):
    pass


def requests(provider, credentials):
    # Ask for what a class needs, one account at a time, as test.py does.
    for kind in credentials:
        if isinstance(kind, str):
            getattr(provider, "get_%s_creds" % kind)()
        else:
            for role in kind[1:]:
                if not provider.is_role_available(role):
                    raise Skipped("no account has the role %s" % role)
            provider.get_creds_by_roles(roles=kind[1:], force_new=True)
        yield


def alone(provider, credentials):
    # Return why a class cannot have its accounts when no one else has any; empty: it can.
    mine = provider.fresh(set())
    try:
        for _ in requests(mine, credentials):
            pass
        return "", mine.asked
    except Exception as error:
        return str(error) or type(error).__name__, mine.asked


def walk(provider, needs, serial, count):
    # Let processes take and give back accounts in any order; return a need that was not served, or None.
    chance, taken = random.Random(count), set()
    busy = [None] * count

    def begin(at):
        others = any(one and one[0] in serial for one in busy)
        may = [need for need in needs if not (others and need in serial)]
        if may:
            need = chance.choice(may)
            mine = provider.fresh(taken)
            busy[at] = [need, mine, requests(mine, json.loads(need)), False]

    for _ in range(STEPS):
        at = chance.randrange(count)
        if busy[at] is None:
            begin(at)
        elif busy[at][3]:
            if chance.random() < 0.4:
                taken.difference_update(busy[at][1].mine)
                busy[at] = None
        else:
            try:
                next(busy[at][2])
            except StopIteration:
                busy[at][3] = True
            except Exception:
                return busy[at][0]
    return None


def schedule(provider, needs, weights, count):
    # Return how many processes, and which needs have to wait for one another, so that no class is left without.
    whole = float(sum(weights.values())) or 1.0
    best = (1.0, 1, [])
    for processes in range(count, 1, -1):
        serial = set()
        while True:
            unserved = walk(provider, needs, serial, processes)
            if unserved is None:
                share = sum(weights[need] for need in serial) / whole
                best = min(best, (max(share, 1.0 / processes), processes, sorted(serial)))
                break
            if unserved in serial:
                break
            serial.add(unserved)
    return {"cost": best[0], "processes": best[1], "serial": best[2]}


def hand_out(answer, asked):
    weights = {}
    answer["tests"] = {}
    for name in asked["names"]:
        try:
            cls, method = class_of(name)
        except Exception:
            continue
        why = getattr(method, "__unittest_skip_why__", "") if getattr(method, "__unittest_skip__", False) else ""
        if why:
            answer["skips"][name] = [why, needs_dynamic(method)]
            continue
        try:
            need = need_of(cls, answer)
        except Exception:
            continue
        if need:
            answer["tests"][name] = need
            weights[need] = weights.get(need, 0) + 1
    for accounts in asked["variants"]:
        provider = pretending(accounts)
        why = {need: alone(provider, json.loads(need)) for need in weights}
        good = [need for need in sorted(weights) if not why[need][0]]
        found = {"processes": asked["processes"], "cost": 0.0}
        if good:
            found = schedule(provider, good, {need: weights[need] for need in good}, asked["processes"])
        answer["variants"].append({"lacking": {need: text for need, (text, _) in why.items() if text},
                                   "roles": {need: roles for need, (_, roles) in why.items()}, **found})


KNOWN = {}


def need_of(cls, answer):
    # Return the accounts that a class asks for as JSON; empty when Tempest skips it before it asks.
    if cls not in KNOWN:
        KNOWN[cls] = ""
        credentials = list(getattr(cls, "credentials", []))
        if credentials and not skips(cls):
            KNOWN[cls] = json.dumps(credentials)
    return KNOWN[cls]


def skips(cls):
    try:
        cls.skip_checks()
    except unittest.SkipTest:
        return True
    except Exception:
        return False
    return False


def needs_dynamic(method):
    try:
        return "use_dynamic_credentials" in inspect.getsource(method).partition("def ")[0]
    except (OSError, TypeError):
        return False


def preload():
    # what log_in imports, but for the modules that may read the configuration, which is not written yet
    try:
        from tempest.lib.services import clients  # noqa: F401
    except Exception:
        pass  # it is imported again, and then it is an error


def main():
    preload()
    asked = json.load(sys.stdin)
    answer = {"login_error": "", "login_user": "", "endpoints": {}, "missing": {}, "skips": {}, "variants": []}
    try:
        from tempest import config
        config.CONF.identity.uri_v3
    except ImportError:
        raise
    except Exception as error:
        answer["config_error"] = short(error)
        print(json.dumps(answer))
        return
    logging.disable(logging.CRITICAL)
    log_in(answer, asked)
    if asked["names"] and not answer["login_error"]:
        hand_out(answer, asked)
    print(json.dumps(answer))


main()
"""
