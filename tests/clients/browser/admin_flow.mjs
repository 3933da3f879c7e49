// An administrator in Debian's Chromium: signs in, adds a client, whose PyKMIP makes a key; looks at
// the key, its history and its proof; leads a key through its life; takes a signed export away.
// Hostile texts lie about in names and attributes.
//
// node admin_flow.mjs --chromium PROGRAM --url https://... --password FILE --folder DIR
//      --python PROGRAM --script pykmip_bundle.py --kmip-port PORT --shots DIR

import {
  browser, context, follow, folder, given, heading, look, must, own, page, press, run, said, url,
} from "./browser.mjs";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

// Signs in with the keyboard alone: the first field has the focus.
async function signIn() {
  await page.goto(url);
  must((await heading()) === "Sign in", "who is not signed in is asked to");
  await look("sign-in");
  const first = readFileSync(given.get("password"), "utf8").trim();
  await page.keyboard.type("admin");
  await page.keyboard.press("Tab");
  await page.keyboard.type("wrong password");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  must((await page.getByRole("alert").innerText()).includes("do not belong together"),
    "a wrong password is told");
  // Chromium writes a line about an answer of 401 to a page; nothing else may stand there.
  said.splice(0, said.length, ...said.filter((line) => !line.includes("status of 401")));
  await new Promise((later) => setTimeout(later, 1200));
  await page.getByLabel("Password").fill(first);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/password");
  await look("password");
  await page.goto(`${url}/keys`);
  must((await heading()) === "Change your password", "a password of others must be changed first");
  await page.keyboard.type(first);
  await page.keyboard.press("Tab");
  await page.keyboard.type(own);
  await page.keyboard.press("Tab");
  await page.keyboard.type(own);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Home" }).waitFor();
  must((await page.getByRole("status").innerText()).includes("is changed"), "the password is changed");
  await look("home");
  const text = await page.locator("main").innerText();
  for (const word of ["All is well", "Root", "Last signature", "Local CA", "KMIP", "Days left"]) {
    must(text.includes(word), `home says: ${word}`);
  }
  const cookie = (await context.cookies()).find((one) => one.name === "__Host-strongroom");
  must(cookie.secure && cookie.httpOnly && cookie.sameSite === "Strict" && cookie.path === "/",
    "the cookie is kept close");
}

async function keyboard() {
  await page.goto(url);
  await page.keyboard.press("Tab");
  must(await page.evaluate(() => document.activeElement.className === "skip"),
    "the first Tab offers to skip to the content");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/keys");
  await page.keyboard.press("/");
  must(await page.evaluate(() => document.activeElement.id === "name"), "/ goes to the search");
}

// Adds a client, takes its files once, and has PyKMIP make a key with them.
async function client() {
  await follow("Clients");
  await look("clients");
  await page.getByLabel("Name", { exact: true }).fill("netapp-svm1");
  await page.getByLabel("Key sharing groups").fill("storage");
  await press("Add the client");
  await page.getByRole("heading", { name: "Client netapp-svm1" }).waitFor();
  await look("client");
  const waiting = page.waitForEvent("download");
  await press("Take netapp-svm1.tar");
  const file = join(folder, "netapp-svm1.tar");
  await (await waiting).saveAs(file);
  execFileSync("tar", ["-x", "-C", folder, "-f", file]);
  must(readFileSync(join(folder, "netapp-svm1.key"), "utf8").includes("PRIVATE KEY"),
    "the bundle has the key");
  await page.reload();
  must((await page.getByRole("button", { name: "Take" }).count()) === 0, "the bundle is given once");
  const uid = execFileSync(given.get("python"), [given.get("script"), "--port",
    given.get("kmip-port"), "--dir", folder, "--client", "netapp-svm1"], { encoding: "utf8" }).trim();
  must(/^[0-9a-f-]{36}$/.test(uid), "PyKMIP makes a key with the bundle");
  return uid;
}

async function key(uid) {
  await follow("Keys");
  await look("keys");
  await page.getByLabel("Name begins with").fill("<img src=x");
  await press("Search");
  must((await page.getByText(uid).count()) === 1, "the key is found by its name");
  await page.goto(`${url}/keys`);
  await page.getByLabel("Identifier begins with").fill(uid.slice(0, 20));
  await page.getByLabel("Owner").fill("netapp-svm1");
  await page.getByLabel("State").selectOption("pre-active");
  await press("Search");
  await page.getByRole("link", { name: uid }).click();
  await look("key");
  const text = await page.locator("main").innerText();
  must(text.includes("netapp-svm1 created") && text.includes("AES-256"), "the key has its history");
  await follow("Activate");
  await look("confirm");
  await press("Activate the key");
  must((await page.locator("main").innerText()).includes("admin (web) activated"), "the key is active");
  await follow("Revoke");
  await page.getByLabel("Reason").selectOption({ index: 2 });
  await page.getByLabel("Remark").fill("<script>window.probe = 1</script>");
  await press("Revoke the key");
  must((await page.locator("dd strong").first().innerText()) === "compromised", "the key is revoked");
  await look("key-revoked");
  await follow("Destroy");
  await press("Destroy the key");
  must((await page.locator("main").innerText()).includes("admin (web) destroyed"), "the key is destroyed");
  await page.locator("td.number a").last().click();
  await look("record");
  must((await page.locator("main").innerText()).includes("strongroom/"), "a record has its proof");
}

async function newKey() {
  await page.goto(`${url}/keys/new`);
  await look("key-new");
  await page.getByLabel("Owner").fill("netapp-svm1");
  await page.getByLabel("Name, if").fill("made \"here\" & <b>now</b>");
  await press("Make the key");
  must((await heading()) === "Key made \"here\" & <b>now</b>", "a key is made for a client");
  must((await page.locator("dd strong").first().innerText()) === "active", "and is active");
}

async function logs() {
  await follow("Logs");
  await look("logs");
  for (const view of ["System", "Audit", "Activity", "Client Event", "All"]) {
    await follow(view);
    must((await page.locator("main").innerText()).length > 20, `the view ${view}`);
  }
  await page.getByLabel("The line contains").fill("<script>");
  await press("Search");
  must((await page.locator("tbody tr").count()) >= 1, "records are found by what they say");
  await look("logs-found");
}

async function takeExport() {
  await follow("Signed export");
  await look("export");
  await press("Make an export");
  await page.getByText("The export is ready").waitFor({ timeout: 60000 });
  await look("export-ready");
  const waiting = page.waitForEvent("download");
  await follow("Download strongroom-export.tar");
  const file = join(folder, "export.tar");
  await (await waiting).saveAs(file);
  execFileSync("tar", ["-x", "-C", folder, "-f", file]);
  const bundle = join(folder, "strongroom-export");
  execFileSync("sha256sum", ["--check", "--quiet", "SHA256SUMS"], { cwd: bundle });
  const signer = readFileSync(join(bundle, "allowed_signers"), "utf8").split(" ")[0];
  const verified = execFileSync("ssh-keygen", ["-Y", "verify", "-f", "allowed_signers", "-I", signer,
    "-n", "strongroom-log-v1", "-s", "EXPORT.txt.sig"],
  { cwd: bundle, input: readFileSync(join(bundle, "EXPORT.txt")), encoding: "utf8" });
  must(verified.startsWith("Good"), "ssh-keygen accepts the export");
}

async function rest(uid) {
  await follow("Administrators");
  await look("administrators");
  await page.goto(`${url}/clients/netapp-svm1`);
  await follow("Revoke");
  await press("Revoke the client");
  must((await page.locator("dd strong").first().innerText()) === "revoked", "the client is revoked");
  for (const path of [
    "/keys?name=%22%3E%3Cimg+src%3Dx+onerror%3Dwindow.probe%3D1%3E&owner=%3Cb%3E",
    "/logs?text=%22%3E%3Cscript%3Ewindow.probe%3D1%3C%2Fscript%3E&view=%3Cb%3E",
    "/keys?uid=%3Cscript%3Ewindow.probe%3D1%3C%2Fscript%3E",
    "/clients?name=%22%3E%3Cscript%3Ewindow.probe%3D1%3C%2Fscript%3E",
    "/keys/%3Cscript%3Ewindow.probe%3D1%3C%2Fscript%3E",
    "/%3Cscript%3Ewindow.probe%3D1%3C%2Fscript%3E",
    "/?notice=%3Cscript%3Ewindow.probe%3D1%3C%2Fscript%3E",
    `/keys/${uid}/history?before=%3Cscript%3E`,
    "/keys/new?owner=%22%3E%3Cscript%3Ewindow.probe%3D1%3C%2Fscript%3E",
  ]) {
    await page.goto(url + path);
    must(await page.evaluate(() => document.images.length === 0 && !window.probe), `as text: ${path}`);
  }
  await look("trouble");
  // Chromium writes a line about a page that is refused; that is no fault of the page.
  said.splice(0, said.length, ...said.filter((line) => !/status of (403|404)/.test(line)));
  await press("Sign out");
  must((await page.getByRole("status").innerText()).includes("signed out"), "signed out");
  await page.goBack();
  must((await page.locator("body").innerText()).includes("Sign in"), "going back shows nothing");
}

// Everything again that changes nothing, without scripts.
async function withoutScripts() {
  const plain = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false });
  const page = await plain.newPage();
  await page.goto(url);
  await page.getByLabel("Name").fill("admin");
  await page.getByLabel("Password").fill(own);
  await page.getByRole("button", { name: "Sign in" }).click();
  for (const path of ["/", "/keys", "/keys/new", "/clients", "/logs", "/logs/export",
    "/administrators", "/password"]) {
    const answer = await page.goto(url + path);
    must(answer.status() === 200, `without scripts: ${path}`);
  }
}

await run(async () => {
  await signIn();
  await keyboard();
  const uid = await client();
  await key(uid);
  await newKey();
  await logs();
  await takeExport();
  await rest(uid);
  await withoutScripts();
});
