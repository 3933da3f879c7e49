// An administrator in Debian's Chromium settles where logs go, with a real OpenSSH server: its host key
// is looked up and compared, a trial says what is wrong, nothing is saved before it works, and what is
// closed arrives. Then approved-algorithms mode is switched on and off, and the self-tests are run.
//
// node operator_flow.mjs --chromium PROGRAM --url https://... --port PORT --user NAME --inbox DIR
//      --authorized FILE --fingerprint SHA256:... --shots DIR

import { follow, given, heading, look, must, own, page, press, run, said, url } from "./browser.mjs";
import { readdirSync, writeFileSync } from "node:fs";

const next = "eight kettles over sand";

async function signIn(password) {
  await page.goto(`${url}/sign-in`);
  await page.getByLabel("Name").fill("admin");
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

async function main() {
  return page.locator("main").innerText();
}

async function describe(port) {
  await page.getByLabel("Name of the destination").fill("vault");
  await page.getByLabel("Host name").fill("127.0.0.1");
  await page.getByLabel("Port", { exact: true }).fill(port);
  await page.getByLabel("Account there").fill(given.get("user"));
  await page.getByLabel("Directory there").fill(given.get("inbox"));
  for (const log of ["system", "activity", "client"]) {
    await page.getByLabel(log, { exact: true }).uncheck();
  }
  await press("Look up its host key");
}

// Chromium writes a line about a page whose answer says that something was not done.
function forget() {
  said.splice(0, said.length, ...said.filter((line) => !line.includes("status of 409")));
}

async function describedAndTried() {
  await follow("Transfers");
  must((await main()).includes("There is no destination yet"), "there is no destination yet");
  await look("transfers-empty");
  await follow("Add a destination");
  await look("transfer-new");
  await describe("1");
  must((await page.getByRole("alert").innerText()).includes("Nothing was saved"),
    "a host that does not answer is told");
  await look("transfer-new-wrong");
  forget();
  await describe(given.get("port"));
  must((await main()).includes(given.get("fingerprint")), "the host key is looked up");
  await look("transfer-compare");
  await press("Test, and save");
  must((await heading()) === "Compare and try" && (await page.getByRole("alert").count()) === 0,
    "the browser wants the host key compared");
  await page.getByLabel("I have compared").check();
  writeFileSync(given.get("authorized"), "");
  await press("Test, and save");
  must((await page.getByRole("alert").innerText()).includes("nothing was saved"),
    "what does not let us in is not saved");
  await look("transfer-refused");
  forget();
  writeFileSync(given.get("authorized"), `${(await page.locator("pre").innerText()).trim()}\n`);
  await press("Test");
  must((await main()).includes("read it back") && (await main()).includes("It works"),
    "a trial says its steps");
  await look("transfer-tried");
}

async function destination() {
  await press("Test, and save");
  must((await heading()) === "Destination vault", "it is saved once it works");
  must((await page.getByRole("status").innerText()).includes("is saved"), "and that is said");
  await look("transfer");
  await press("Test");
  must((await main()).includes("It works"), "a saved one is tried again");
  await follow("All destinations");
  await page.getByLabel("Close now").selectOption("audit");
  await press("Close and send");
  must((await page.getByRole("status").innerText()).includes("closed"), "the log is closed");
  const arrived = () => readdirSync(given.get("inbox")).filter((name) => name.endsWith(".tar"));
  for (let i = 0; i < 200 && arrived().length === 0; i += 1) {
    await new Promise((later) => setTimeout(later, 100));
  }
  must(arrived().length === 1, "the closed log arrives");
  for (let i = 0; i < 50 && !(await main()).includes("delivered and read back"); i += 1) {
    await page.reload();
  }
  must((await main()).includes("1 delivered and read back"), "the last outcome is shown");
  await look("transfers");
}

async function failing() {
  writeFileSync(given.get("authorized"), "");
  await page.getByLabel("Close now").selectOption("audit");
  await press("Close and send");
  const alarms = page.locator("td strong.bad", { hasText: "alarm" });
  for (let i = 0; i < 100 && (await alarms.count()) === 0; i += 1) {
    await page.goto(`${url}/transfers`);
    await new Promise((later) => setTimeout(later, 100));
  }
  must((await alarms.count()) === 1, "a failure is an alarm");
  await look("transfers-alarm");
  await follow("vault");
  must((await main()).includes("does not accept the key"), "and says why");
  await look("transfer-failing");
  await follow("Change");
  must((await page.getByLabel("Account there").inputValue()) === given.get("user"),
    "a saved destination can be changed");
  await page.goBack();
  await press("Send now");
  must((await page.getByRole("status").innerText()).includes("sent now"), "it is sent now");
  await follow("Remove");
  await look("transfer-remove");
  await press("Remove the destination");
  must((await main()).includes("There is no destination yet"), "it is removed");
}

async function algorithms() {
  await follow("Algorithms");
  must((await main()).includes("not approved"), "the parts are shown");
  must((await page.getByRole("region", { name: "Self-tests", exact: true }).getByText("passed")
    .count()) > 10, "each self-test has its result");
  await look("algorithms");
  await press("Run them now");
  must((await page.getByRole("status").innerText()).includes("passed"), "the self-tests pass again");
  await look("selftest");
  await follow("Algorithms");
  await follow("See what switching it on does");
  const text = await main();
  must(text.includes("refuse other algorithms") && text.includes("3DES"),
    "what follows is listed before the switch");
  must(text.includes("their password at their next request: admin"), "and who is concerned");
  await look("switch");
  await page.getByLabel("Type").fill("yes");
  await press("Switch it on");
  must((await page.getByRole("alert").innerText()).includes("Not switched"), "other words do nothing");
  forget();
  await page.getByLabel("Type").fill("switch on");
  await press("Switch it on");
  // The password was verified by an algorithm that is not approved.
  must((await heading()) === "Change your password", "the switch is done");
  await page.getByLabel("Present password").fill(own);
  await page.getByLabel("New password", { exact: true }).fill(next);
  await page.getByLabel("once more").fill(next);
  await press("Change the password");
  await follow("Algorithms");
  must((await page.locator("dd strong").first().innerText()) === "on", "the mode is on, with all parts");
  await look("algorithms-on");
  await follow("See what switching it off does");
  await look("switch-off");
  await page.getByLabel("Type").fill("switch off");
  await page.keyboard.press("Enter");
  await page.getByRole("status").waitFor();
  must((await page.locator("dd strong").first().innerText()) === "off", "and off again");
}

await run(async () => {
  await signIn(own);
  await describedAndTried();
  await destination();
  await failing();
  await algorithms();
});
