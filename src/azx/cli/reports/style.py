"""How pages look, and what sorts their tables: light or dark, small or printed, no network."""

from __future__ import annotations

#: Cells of words that say how it went have these as their class.
VERDICTS = ("ok", "warn", "fail", "FAILED")

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #d8dce2; --card: #f5f6f8;
  --ground: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3ad; --line: #343a42;
  --card: #1d2127; --ground: #14171b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 64rem; color: var(--ink);
  background: var(--ground); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p, figcaption { color: var(--soft); margin: .3rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.3rem, 1fr)); gap: .7rem;
  margin: 1.2rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .7rem .9rem; }
.card b { display: block; font-size: 1.2rem; line-height: 1.25; white-space: nowrap; }
.card span { color: var(--soft); font-size: .85rem; }
.figures { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: .8rem 0; }
figure { margin: 0; flex: 1 1 21rem; max-width: 31rem; }
figure:has(.board) { flex: 0 1 14rem; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { font-size: .9rem; }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; min-width: 50%; font-size: .9rem;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; color: var(--soft); padding: .2rem .7rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { vertical-align: bottom; }
.words { text-align: left; }
td.words { white-space: normal; }
.fail, .FAILED { color: var(--bad); font-weight: bold; } .warn { color: var(--axis0); }
.ok { color: var(--good); }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --card: #fff;
    --ground: #fff; }
  body { max-width: none; padding: 0; font-size: 12px; }
  .wide { overflow: visible; } table { font-size: .8rem; width: 100%; }
  th, td { padding: .15rem .3rem; white-space: normal; }
  h2, caption { break-after: avoid; } tr, figure, .card { break-inside: avoid; }
  thead { display: table-header-group; break-inside: avoid; }
  figure { flex: 0 1 46%; max-width: 46%; } figure:has(.board) { flex-basis: 28%; }
}
"""

#: Sorts a table by the column whose heading is pressed; without it tables stay as they are.
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.querySelectorAll("th")];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent; head.replaceChildren(button);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const body = table.tBodies[0];
      const key = row => row.cells[column].textContent.replaceAll(",", "");
      const number = text => /^[-+]?[\\d.]/.test(text) ? parseFloat(text) : NaN;
      [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)], [n, m] = [number(x), number(y)];
        const order = isNaN(n) || isNaN(m) ? x.localeCompare(y) : n - m;
        return rising ? order : -order;
      }).forEach(row => body.append(row));
    });
  });
}
"""
