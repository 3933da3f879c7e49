// What the scripts in Debian's Chromium share. They print one line per step; the first step that does
// not show what it must ends the run with exit code 1. So does any message of the console: a violation
// of the content security policy is one.

import { chromium } from "playwright-core";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

export const given = new Map();
for (let i = 2; i < process.argv.length; i += 2) {
  given.set(process.argv[i].replace(/^--/, ""), process.argv[i + 1]);
}
export const url = given.get("url");
export const folder = given.get("folder");
export const own = "seven lamps under water";
const shots = given.get("shots");
let steps = 0;

export function ok(what) {
  steps += 1;
  console.log(`ok ${steps} ${what}`);
}

export function must(condition, what) {
  if (!condition) {
    throw new Error(`not as it must be: ${what}`);
  }
  ok(what);
}

export const browser = await chromium.launch({
  executablePath: given.get("chromium"),
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
    "--no-first-run", "--disable-component-update", "--disable-sync"],
});
export const context = await browser.newContext({
  ignoreHTTPSErrors: true,
  acceptDownloads: true,
  viewport: { width: 1200, height: 800 },
});
export const page = await context.newPage();
page.setDefaultTimeout(20000);
export const said = [];
page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
page.on("pageerror", (error) => said.push(`error: ${error.message}`));
page.on("dialog", (dialog) => {
  said.push(`dialog: ${dialog.message()}`);
  dialog.dismiss();
});

// What Tab does not reach, or reaches without showing it.
async function unreached() {
  const reached = "a[href], button, select, [tabindex='0'], " +
    "input:not([type=hidden]):not([hidden])";
  const before = await page.evaluateHandle(() => document.activeElement);
  const count = await page.locator(reached).count();
  await page.evaluate(() => document.activeElement.blur());
  for (let i = 0; i < count + 2; i += 1) {
    await page.keyboard.press("Tab");
    await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      if (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) {
        document.activeElement.dataset.reached = "yes";
      }
    });
  }
  const missed = await page.evaluate((all) => {
    const found = [...document.querySelectorAll(all)].filter((one) => !one.dataset.reached);
    return found.map((one) => one.outerHTML.slice(0, 80));
  }, reached);
  await before.evaluate((one) => one.focus());
  return missed;
}

// Looks at a page as it is in light and dark, wide and narrow.
export async function look(name) {
  must(await page.evaluate(() => document.images.length === 0 && !window.probe), `${name}: text is text`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  await page.setViewportSize({ width: 360, height: 740 });
  const narrow = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  for (const [scheme, width] of [["light", 1200], ["dark", 1200], ["light", 400], ["dark", 400]]) {
    if (shots) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 800 });
      await page.screenshot({ path: join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1200, height: 800 });
  must(wide && narrow, `${name}: fits a wide and a narrow window`);
  const missed = await unreached();
  must(missed.length === 0, `${name}: the keyboard reaches all ${missed.join(" ")}`);
}

export async function press(name) {
  await page.getByRole("button", { name, exact: true }).click();
}

export async function follow(name) {
  await page.getByRole("link", { name, exact: true }).first().click();
}

export async function heading() {
  return (await page.locator("h1").innerText()).trim();
}

// Runs the steps; says where they ended, and what the page showed then.
export async function run(work) {
  try {
    if (shots) {
      mkdirSync(shots, { recursive: true });
    }
    await work();
    must(said.length === 0, `the console stays silent: ${said.join("; ")}`);
  } catch (error) {
    const shown = await page.locator("body").innerText();
    console.log(`FAILED after step ${steps}: ${error.message}\n${shown}`);
    console.log(said.join("\n"));
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
