#!/usr/bin/env python3
"""A real OpenID Connect provider (glewlwyd) on the loopback, with users and their roles, for tests.

  provider.py FOLDER

Writes into FOLDER: `url` (its address), then NAME.token for each user below, then `ready`. Ends, and the provider with it, at SIGTERM or when
its standard input closes. SIGHUP: the provider gets another key; new tokens as NAME.new.token, then `rotated`. Exit status 77: there is no glewlwyd.
"""
import base64, hashlib, json, os, shutil, signal, socket, sqlite3, subprocess, sys, time, urllib.error, urllib.parse, urllib.request

INIT = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
USERS = {"ann": ("analyst", "acme"), "sue": ("submitter supervisor", "acme"), "eve": ("analyst", "other"), "bob": ("nothing", "acme")}
SCOPES = ("analyst", "submitter", "supervisor", "nothing")
AUDIENCE = "https://sluice.bank.example"
SECRET = "client-secret-0123456789"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def key_pair(folder, name):
    private, public = os.path.join(folder, name + ".key"), os.path.join(folder, name + ".pub")
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True, stderr=subprocess.DEVNULL)
    with open(private) as p, open(public) as q:
        return p.read(), q.read()


class Browser:
    """One session: cookies of its own, no redirect is followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    def __init__(self, url):
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(), self.Stay())

    def ask(self, method, path, content=None, form=None, basic=None):
        data = json.dumps(content).encode() if content is not None else urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Content-Type", "application/json" if content is not None else "application/x-www-form-urlencoded")
        if basic:
            request.add_header("Authorization", "Basic " + base64.b64encode(basic.encode()).decode())
        try:
            with self.opener.open(request, timeout=20) as answer:
                body = answer.read()
                return json.loads(body) if body else None
        except urllib.error.HTTPError as wrong:
            sys.exit(f"provider.py: {method} {path}: {wrong.code} {wrong.read()[:500]!r}")

    def location(self, path):
        try:
            self.opener.open(self.url + path, timeout=20)
        except urllib.error.HTTPError as answer:
            if answer.code in (302, 303):
                return answer.headers["Location"]
            sys.exit(f"provider.py: {path}: {answer.code} {answer.read()[:500]!r}")
        sys.exit(f"provider.py: {path}: no redirect")


class Provider:
    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.browser = Browser(self.url)

    def start(self):
        database, config = os.path.join(self.folder, "provider.db"), os.path.join(self.folder, "provider.conf")
        with sqlite3.connect(database) as db, open(INIT) as script:
            db.executescript(script.read())
        with open(config, "w") as out:
            out.write(f"""port={self.port}
bind_address="127.0.0.1"
external_url="{self.url}"
api_prefix="api"
static_files_path="/usr/share/glewlwyd/webapp/"
log_mode="console"
log_level="WARNING"
cookie_domain="127.0.0.1"
cookie_secure=0
session_expiration=2419200
session_key="SESSION"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
hash_algorithm="SHA256"
database = {{ type = "sqlite3"; path = "{database}"; }};
""")
        with open(os.path.join(self.folder, "provider.log"), "w") as log:
            self.process = subprocess.Popen(["glewlwyd", "--config-file=" + config], stdout=log, stderr=log)
        for _ in range(200):
            try:
                return self.browser.ask("POST", "/api/auth/", {"username": "admin", "password": "password"})
            except urllib.error.URLError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        sys.exit("provider.py: glewlwyd does not answer: " + open(os.path.join(self.folder, "provider.log")).read()[-1000:])

    def plugin(self, method, key, kid):
        self.browser.ask(method, "/api/mod/plugin/" + ("oidc" if method == "PUT" else ""), {
            "module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": {
                "iss": self.url + "/", "jwt-type": "rsa", "jwt-key-size": "256", "key": key[0], "cert": key[1], "default-kid": kid,
                "access-token-duration": 3600, "refresh-token-duration": 3600, "code-duration": 600, "refresh-token-rolling": False,
                "allow-non-oidc": True, "pkce-allowed": True, "pkce-required": True, "pkce-method-plain-allowed": False, "auth-type-code-enabled": True, "auth-type-password-enabled": False, "auth-type-client-enabled": False,
                "auth-type-token-enabled": False, "auth-type-id-token-enabled": False, "auth-type-none-enabled": False,
                "auth-type-refresh-enabled": False, "jwks-show": True, "jwks-x5c": [], "subject-type": "public",
                "resource-allowed": True, "resource-scope": {scope: [AUDIENCE] for scope in SCOPES}, "resource-client-property": "",
                "resource-scope-and-client-property": False, "resource-change-allowed": False,
                "additional-parameters": [{"user-parameter": "tenant", "token-parameter": "tenant"}]}})

    def fill(self):
        found = self.browser.ask("GET", "/api/mod/user/database")
        found["parameters"]["data-format"] = {"tenant": {"multiple": False, "read": True, "write": True}}
        self.browser.ask("PUT", "/api/mod/user/database", found)
        self.browser.ask("PUT", "/api/mod/user/database/reset/")
        for scope in SCOPES:
            self.browser.ask("POST", "/api/scope/", {"name": scope, "display_name": scope, "description": scope, "password_required": True,
                                             "password_max_age": 0, "scheme": {}})
        self.browser.ask("POST", "/api/client/", {"client_id": "sluice", "name": "sluice", "confidential": True, "password": SECRET, "enabled": True,
                                          "client_secret": SECRET, "redirect_uri": [self.url + "/back"], "scope": [],
                                          "token_endpoint_auth_method": ["client_secret_basic"],
                                          "authorization_type": ["code"]})
        for name, (roles, tenant) in USERS.items():
            self.browser.ask("POST", "/api/user/", {"username": name, "name": name, "password": name + "-password", "email": name + "@bank.example",
                                            "enabled": True, "scope": roles.split(), "tenant": tenant})

    def code(self, name, roles, verifier):
        """As the user's browser would: login, consent, and the redirect that carries the code."""
        browser = Browser(self.url)
        browser.ask("POST", "/api/auth/", {"username": name, "password": name + "-password"})
        browser.ask("PUT", "/api/auth/grant/sluice", {"scope": roles})
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = urllib.parse.urlencode({"response_type": "code", "client_id": "sluice", "redirect_uri": self.url + "/back", "scope": roles,
                                        "state": "s", "nonce": "n", "resource": AUDIENCE, "code_challenge": challenge,
                                        "code_challenge_method": "S256", "g_continue": ""})
        back = browser.location("/api/oidc/auth?" + query)
        found = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query).get("code")
        return found[0] if found else sys.exit(f"provider.py: no code for {name}: {back}")

    def tokens(self, suffix):
        for name, (roles, _) in USERS.items():
            verifier = base64.urlsafe_b64encode(os.urandom(40)).rstrip(b"=").decode()
            answer = self.browser.ask("POST", "/api/oidc/token", form={
                "grant_type": "authorization_code", "code": self.code(name, roles, verifier), "redirect_uri": self.url + "/back",
                "code_verifier": verifier, "resource": AUDIENCE}, basic="sluice:" + SECRET)
            self.write(name + suffix, answer["access_token"])

    def write(self, name, text):
        with open(os.path.join(self.folder, name + ".part"), "w") as out:
            out.write(text)
        os.rename(os.path.join(self.folder, name + ".part"), os.path.join(self.folder, name))


def main():
    if not shutil.which("glewlwyd") or not os.path.exists(INIT):
        sys.exit(77)
    provider = Provider(sys.argv[1])
    provider.start()
    try:
        provider.plugin("POST", key_pair(provider.folder, "first"), "first")
        provider.fill()
        provider.write("url", provider.url)
        provider.tokens(".token")
        provider.write("ready", "")

        def rotate(*_):
            provider.plugin("PUT", key_pair(provider.folder, "second"), "second")
            provider.browser.ask("PUT", "/api/mod/plugin/oidc/reset/")
            provider.tokens(".new.token")
            provider.write("rotated", "")

        signal.signal(signal.SIGHUP, rotate)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        while sys.stdin.buffer.read(1):
            pass
    finally:
        provider.process.terminate()
        provider.process.wait(20)


main()
