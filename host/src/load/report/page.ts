// Owns the frame of the HTML reports: one self-contained page with style sheet (light and dark), the data it was made from as JSON, and a small script for
// the hover readout. No external resource.
import { escapeHtml, scriptJson } from './escape.js';

/** A whole page. `main` is markup that its maker escaped; `data` is kept in it as JSON under the id `result`. */
export function renderPage(title: string, main: string, data: unknown): string {
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><main>
${main}
</main><script type="application/json" id="result">${scriptJson(data)}</script><script>${SCRIPT}</script></body></html>
`;
}

const STYLE = `
:root { color-scheme: light dark;
  --bg: #f6f7f9; --card: #fff; --ink: #1b2330; --soft: #5f6b7c; --rule: #e3e7ed; --good: #1a7f4b; --bad: #c22f2f; --mark: #9a3fb5;
  --c0: #2f6fde; --c1: #e0762b; --c2: #1f9d76; --c3: #c24a92; --c4: #7b61d1; --c5: #b8900f; --c6: #2a9bbd; --c7: #d1495b; --c8: #6a8f2f; --c9: #8b94a3; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #12161d; --card: #1a2029; --ink: #e6eaf0; --soft: #97a3b4; --rule: #2b3340; --good: #4cc38a; --bad: #ff7b7b; --mark: #d68bf0;
  --c0: #6ea2ff; --c1: #f59a57; --c2: #4cc9a0; --c3: #e886bf; --c4: #a592f2; --c5: #dcb843; --c6: #5fc4e2; --c7: #f0808f; --c8: #a3c764; --c9: #939dad; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 14px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; }
main { max-width: 1380px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 22px; margin: 0; letter-spacing: -0.01em; } h2 { font-size: 15px; margin: 28px 0 10px; }
.sub { color: var(--soft); margin: 4px 0 0; overflow-wrap: anywhere; }
.banner { border-left: 4px solid var(--bad); background: var(--card); padding: 8px 14px; margin: 14px 0 0; border-radius: 4px; }
.banner.good { border-left-color: var(--good); }
.note { border-left: 4px solid var(--c5); background: var(--card); padding: 8px 14px; margin: 10px 0 0; border-radius: 4px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 170px), 1fr)); gap: 12px; margin: 20px 0; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 14px; }
.tile b { display: block; font-size: 22px; font-weight: 650; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tile span { color: var(--soft); font-size: 12px; } .tile.bad b { color: var(--bad); } .tile.good b { color: var(--good); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)); gap: 14px; }
.chart, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; margin: 0; padding: 12px 14px; position: relative; }
.card { overflow-x: auto; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
figcaption { display: flex; flex-wrap: wrap; gap: 2px 14px; justify-content: space-between; margin-bottom: 6px; }
.keys { display: flex; flex-wrap: wrap; gap: 2px 12px; font-size: 12px; color: var(--soft); }
.key::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 5px; background: var(--c); }
.key.dashed::before { width: 16px; height: 4px; border-radius: 0; margin-bottom: 3px; background: linear-gradient(90deg, var(--c) 6px, transparent 6px 10px, var(--c) 10px); }
.s0 { --c: var(--c0); } .s1 { --c: var(--c1); } .s2 { --c: var(--c2); } .s3 { --c: var(--c3); } .s4 { --c: var(--c4); }
.s5 { --c: var(--c5); } .s6 { --c: var(--c6); } .s7 { --c: var(--c7); } .s8 { --c: var(--c8); } .s9 { --c: var(--c9); }
.grid { stroke: var(--rule); stroke-width: 1; } .tick { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.line { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; } .dot { fill: var(--c); } .dashed { stroke-dasharray: 6 4; }
.area { fill: var(--c); fill-opacity: 0.78; stroke: var(--card); stroke-width: 0.5; }
line.marker { stroke: var(--mark); stroke-width: 1.4; stroke-dasharray: 5 3; } text.marker { fill: var(--mark); font-size: 11px; font-weight: 700; }
.marks { margin: 4px 0 0; font-size: 12px; color: var(--mark); } .mark { margin-right: 14px; }
.cursor { stroke: var(--soft); stroke-width: 1; }
.tip { position: absolute; pointer-events: none; background: var(--ink); color: var(--bg); font-size: 12px; line-height: 1.45; padding: 6px 9px; border-radius: 6px; white-space: nowrap; z-index: 2; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; } th { color: var(--soft); font-weight: 500; font-size: 12px; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--rule); white-space: nowrap; } th:first-child, td:first-child, .list th:nth-child(2), .list td:nth-child(2) { text-align: left; }
tr:last-child td { border-bottom: 0; } .pass { color: var(--good); font-weight: 650; } .fail { color: var(--bad); font-weight: 650; }
.list td:last-child, .prose td { white-space: normal; overflow-wrap: anywhere; } .facts td:first-child, .prose td:first-child { white-space: nowrap; }
.prose td { vertical-align: top; } .prose td:last-child, .prose th:last-child { text-align: left; width: 58%; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 640px), 1fr)); gap: 14px; }
footer { margin-top: 28px; color: var(--soft); font-size: 12px; overflow-wrap: anywhere; }
@media (max-width: 640px) { .prose tr:first-child { display: none; } .prose td { display: block; text-align: left; border: 0; padding: 2px 10px; }
  .prose td:first-child { font-weight: 650; padding-top: 10px; } .prose td:last-child { width: auto; color: var(--soft); } }
`;

/** Shows the values under the pointer. Reads only the chart's own data attribute; writes text, never markup. */
const SCRIPT = `
const units = {
  ms: (v) => v < 1 ? (v * 1000).toPrecision(3) + ' µs' : v < 1000 ? v.toPrecision(3) + ' ms' : (v / 1000).toPrecision(3) + ' s',
  s: (v) => v.toFixed(v < 100 ? 1 : 0) + ' s', n: (v) => v.toLocaleString('en-US', { maximumFractionDigits: 2 }), '%': (v) => v.toFixed(2) + ' %', points: (v) => v.toFixed(2) + ' points' };
for (const svg of document.querySelectorAll('svg[data-chart]')) {
  const chart = JSON.parse(svg.dataset.chart), cursor = svg.querySelector('.cursor'), figure = svg.parentElement;
  const tip = document.createElement('div'); tip.className = 'tip'; tip.hidden = true; figure.append(tip);
  const hide = () => { tip.hidden = true; cursor.setAttribute('visibility', 'hidden'); };
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) * 640 / box.width;
    if (x < chart.left || x > chart.right) return hide();
    const part = (x - chart.left) / (chart.right - chart.left);
    const value = chart.log ? chart.min * (chart.max / chart.min) ** part : chart.min + part * (chart.max - chart.min);
    const lines = [units[chart.xUnit](value)];
    for (const series of chart.series) {
      let at = -1;
      series.points.forEach((point, index) => {
        if (point[1] === null) return;
        if (chart.nearest ? at < 0 || Math.abs(point[0] - value) < Math.abs(series.points[at][0] - value) : point[0] <= value) at = index;
      });
      if (at >= 0) lines.push(series.name + '  ' + units[chart.yUnit](series.points[at][1]));
    }
    tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement('div'), { textContent: line })));
    tip.hidden = false; cursor.setAttribute('visibility', 'visible');
    cursor.setAttribute('x1', x); cursor.setAttribute('x2', x);
    const left = event.clientX - figure.getBoundingClientRect().left, right = left + 16 + tip.offsetWidth > figure.clientWidth;
    tip.style.left = (right ? left - tip.offsetWidth - 12 : left + 14) + 'px'; tip.style.top = '60px';
  });
}
`;
