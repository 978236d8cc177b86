"""The page's style sheet: light and dark by the reader's own setting, wide where there is room, print as it is."""

STYLE = """
:root { color-scheme: light dark;
  --paper: #fafaf8; --card: #fff; --ink: #1c1e22; --soft: #5b616b; --line: #e2e2dd; --link: #1f55b5;
  --train: #3d6fc9; --val: #8f5fc4; --test: #d27a1f; --bad: #b3261e; --bad-paper: #fbeceb; --warn: #8a5a00;
  --warn-paper: #fdf3df; --good: #18733c; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14161a; --card: #1d2026; --ink: #e8e8e4; --soft: #a0a6b1; --line: #343841; --link: #8db4ff;
  --train: #6f9bf0; --val: #b693e6; --test: #eba45a; --bad: #ff8f87; --bad-paper: #3b1f1e; --warn: #ecbb5f;
  --warn-paper: #362a13; --good: #6fcf91; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: 1rem; background: var(--card);
  padding: .5rem; }
.frame { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0 3rem; max-width: 96rem; margin: 0 auto;
  padding: 2rem clamp(1rem, 4vw, 1.5rem) 6rem; }
@media (min-width: 62rem) { .frame { grid-template-columns: 13.5rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto; padding: 2rem 0;
  margin-top: -2rem; } }
@media (max-width: 61.99rem) { nav { margin-bottom: 2rem; } nav ol { display: flex; flex-wrap: wrap; gap: 0 1.5rem; }
  nav a { gap: .5rem; } }
nav h2 { font-size: .8rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); margin: 0 0 .5rem; }
nav ol { list-style: none; margin: 0; padding: 0; }
nav a { display: flex; justify-content: space-between; gap: 1rem; padding: .3rem .6rem; margin-left: -.6rem;
  border-radius: .4rem; text-decoration: none; color: var(--ink); overflow-wrap: anywhere; }
nav a:hover { background: var(--card); color: var(--link); } nav span { color: var(--soft); white-space: nowrap; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h1 + p { color: var(--soft); margin: .3rem 0 1.5rem; }
section { margin-top: 3.25rem; } section > h2 { font-size: 1.35rem; margin: 0 0 .25rem; }
section > h2 + p { margin-top: 0; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; overflow-wrap: anywhere; }
h3 small { font-weight: normal; color: var(--soft); font-size: .9em; margin-left: .4rem; }
p { max-width: 75ch; } .soft { color: var(--soft); }
.tiles { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(8.6rem, 1fr)); margin: 0;
  padding: 0;
  list-style: none; }
.tiles a { display: block; height: 100%; padding: .8rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .7rem; color: inherit; text-decoration: none; } .tiles a:hover { border-color: var(--link); }
.tiles b { display: block; font-size: 1.65rem; line-height: 1.2; font-weight: 650; }
.tiles .bad a { background: var(--bad-paper); } .tiles .bad b { color: var(--bad); }
.tiles .warn a { background: var(--warn-paper); } .tiles .warn b { color: var(--warn); }
.tiles span { color: var(--soft); font-size: .92rem; }
.side-by-side { display: grid; gap: 1rem 2.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  align-items: start; }
svg { width: 100%; height: auto; font: 14px system-ui, sans-serif; fill: var(--ink); display: block; }
svg .split-all, svg .split-train { fill: var(--train); } svg .split-val { fill: var(--val); }
svg .split-test { fill: var(--test); } svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); }
svg .limit { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 5 4; }
svg .dot { fill: var(--train); fill-opacity: .55; stroke: var(--card); stroke-opacity: .6; }
svg .figure { fill: var(--soft); }
.bars { list-style: none; margin: .75rem 0; padding: 0; max-width: 48rem; font-size: .9rem; line-height: 1.35; }
.bars li { display: grid; grid-template-columns: minmax(0, 30%) minmax(0, 1fr) 3.5rem; gap: .6rem; align-items: center;
  padding: .15rem 0; }
.bars b { font-weight: normal; text-align: right; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
.bars span { display: flex; } .bars i { height: 1.05rem; min-width: 1px; background: var(--train); }
.bars .split-val { background: var(--val); } .bars .split-test { background: var(--test); }
.bars em { font-style: normal; color: var(--soft); }
.legend { display: flex; gap: 1.25rem; list-style: none; padding: 0; margin: .75rem 0 .5rem; font-size: .92rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .4rem; }
table { border-collapse: collapse; font-size: .95rem; } .scroll { overflow-x: auto; }
th, td { padding: .4rem 1.25rem .4rem 0; text-align: left; vertical-align: middle;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; } td.number, th.number { text-align: right; }
td code { display: inline-block; min-width: 15rem; } td code, figcaption code { overflow-wrap: anywhere; }
code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; align-items: stretch; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: .9rem 1rem;
  max-width: 100%; }
.card header { margin-bottom: .6rem; display: flex; flex-wrap: wrap; gap: .35rem; font-size: .92rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; width: 7rem; min-width: 0; font-size: .82rem; line-height: 1.35; }
.card figure { width: 7.2rem; }
.picture { display: flex; height: 7rem; align-items: center; justify-content: center; background: var(--paper);
  border: 1px solid var(--line); border-radius: .45rem; overflow: hidden; color: var(--soft); text-decoration: none; }
.card .picture { height: 7.2rem; }
.picture img { max-width: 100%; max-height: 100%; width: 100%; height: 100%; object-fit: contain; display: block; }
figcaption { margin-top: .3rem; overflow-wrap: anywhere; } figcaption code { color: var(--soft); font-size: .92em; }
figcaption b, td b { font-weight: 650; }
.sheet { display: grid; gap: .4rem; grid-template-columns: repeat(auto-fill, minmax(5rem, 1fr)); }
.sheet .picture { height: 5.4rem; background: var(--card); }
td:has(.bar) { white-space: nowrap; } td .picture { width: 5rem; height: 5rem; }
.tag { border-radius: 1rem; padding: .05rem .6rem; background: var(--paper); border: 1px solid var(--line); }
.tag.bad { background: var(--bad-paper); color: var(--bad); border-color: transparent; }
.tag.warn { background: var(--warn-paper); color: var(--warn); border-color: transparent; }
.none { color: var(--good); } .cut { color: var(--soft); font-size: .92rem; }
.bar { display: inline-block; width: 6rem; height: .5rem; border-radius: .25rem; background: var(--line);
  margin-right: .5rem;
  overflow: hidden; vertical-align: middle; } .bar i { display: block; height: 100%; background: var(--train); }
@media print { nav { display: none; } .frame { display: block; } section { break-inside: auto; }
  .card { break-inside: avoid; } }
"""
