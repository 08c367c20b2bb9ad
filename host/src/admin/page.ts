// Owns the status page at `/`: one self-contained HTML document that reads the API and holds no data of its own, so it can be served
// without a token. Data reaches the page as text nodes only, never as markup.
import { createHash } from 'node:crypto';

const style = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#14181f;--soft:#667085;--line:#e3e7ee;--accent:#3366ff;--good:#12855a;--warn:#b26a00;--bad:#c0362c}
@media(prefers-color-scheme:dark){:root{--bg:#0e1116;--card:#161b22;--ink:#e8ecf2;--soft:#8b95a5;--line:#252c37;--accent:#7c9cff;--good:#4cc38a;--warn:#e0a63c;--bad:#f0776c}}
[hidden]{display:none!important}*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.45 ui-sans-serif,system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:24px 20px 60px}
header{display:flex;align-items:baseline;gap:14px;flex-wrap:wrap;margin-bottom:18px}h1{font-size:20px;margin:0;letter-spacing:-.01em}
h2{font-size:12px;text-transform:uppercase;letter-spacing:.07em;color:var(--soft);margin:28px 0 8px}
.soft{color:var(--soft)}.mono{font-family:ui-monospace,monospace;font-size:12.5px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(205px,1fr));gap:12px}
.card,.table{background:var(--card);border:1px solid var(--line);border-radius:10px}
.card{padding:13px 15px 11px}.card b{display:block;font-size:25px;font-weight:600;letter-spacing:-.02em;font-variant-numeric:tabular-nums;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}#strategy{font-size:18px;line-height:37px}
.card small{color:var(--soft)}.card svg{display:block;width:100%;height:34px;margin-top:7px}
.table{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{padding:8px 13px;text-align:left;white-space:nowrap}
th{font-weight:500;color:var(--soft);font-size:12px;border-bottom:1px solid var(--line)}td{font-variant-numeric:tabular-nums}tr+tr td{border-top:1px solid var(--line)}
.n{text-align:right}.pill{display:inline-block;padding:1px 9px;border-radius:99px;font-size:12px;border:1px solid currentColor}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.bar{display:inline-block;width:80px;height:6px;border-radius:3px;background:var(--line);vertical-align:middle;margin-right:8px;overflow:hidden}.bar i{display:block;height:100%;background:var(--accent)}
#note{display:none;margin:0 0 14px;padding:10px 14px;border-radius:8px;border:1px solid currentColor}
form{display:none;gap:8px;margin:10px 0 20px}input{flex:1;max-width:420px;padding:8px 10px;border-radius:7px;border:1px solid var(--line);background:var(--card);color:inherit;font:inherit}
button{padding:8px 16px;border:0;border-radius:7px;background:var(--accent);color:#fff;font:inherit;cursor:pointer}
`;

const script = `
'use strict';
const WINDOW=120,PERIOD_MS=1000,SPAN=10;
const $=(id)=>document.getElementById(id);
const el=(tag,text,cls)=>{const e=document.createElement(tag);if(text!==undefined)e.textContent=text;if(cls)e.className=cls;return e};
const num=(v,d=0)=>v==null||!isFinite(v)?'–':v.toLocaleString('en',{maximumFractionDigits:d,minimumFractionDigits:d});
const ms=(v)=>v==null||!isFinite(v)||v===0?'–':v<10?num(v,1)+' ms':v<1000?num(v)+' ms':num(v/1000,2)+' s';
let token=sessionStorage.getItem('infermesh-token')||'';
const samples=[],rates=[],ttfts=[];
async function get(path){
 const r=await fetch(path,{headers:token?{authorization:'Bearer '+token}:{}});
 if(!r.ok){const b=await r.json().catch(()=>({}));const e=new Error(b.error?b.error.code+': '+b.error.message:'HTTP '+r.status);e.status=r.status;throw e}
 return r.json();
}
function quantile(a,b,q){
 const c=b.counts.map((n,i)=>n-(a?a.counts[i]:0)),total=c.reduce((x,y)=>x+y,0);if(total<=0)return null;
 let left=q*total;for(let i=0;i<c.length;i++){if(c[i]>=left&&c[i]>0){const lo=i===0?0:b.boundsS[i-1],hi=i<b.boundsS.length?b.boundsS[i]:lo*2;return(lo+(hi-lo)*left/c[i])*1000}left-=c[i]}
 return b.boundsS[b.boundsS.length-1]*1000;
}
function spark(id,values){
 const svg=$(id),max=Math.max(...values.map((v)=>v||0),1e-9),n=Math.max(values.length-1,1);
 const pts=values.map((v,i)=>(i/n*200).toFixed(1)+','+(32-(v||0)/max*29).toFixed(1));
 svg.replaceChildren();
 const ns='http://www.w3.org/2000/svg',area=document.createElementNS(ns,'polygon'),line=document.createElementNS(ns,'polyline');
 area.setAttribute('points','0,34 '+pts.join(' ')+' 200,34');area.setAttribute('fill','var(--accent)');area.setAttribute('opacity','.13');
 line.setAttribute('points',pts.join(' '));line.setAttribute('fill','none');line.setAttribute('stroke','var(--accent)');line.setAttribute('stroke-width','1.5');line.setAttribute('vector-effect','non-scaling-stroke');
 svg.append(area,line);
}
function push(list,v){list.push(v);if(list.length>WINDOW)list.shift()}
function pill(text){const cls=/^(ready|active)$/.test(text)?'good':/(unhealthy|ejected|quarantined|down|unreachable|failed)/.test(text)?'bad':/^(loaded|unwatched)$/.test(text)?'soft':'warn';return el('span',text,'pill '+cls)}
function bar(ratio,text){const td=el('td'),b=el('span','','bar'),i=el('i');i.style.width=Math.min(100,Math.max(0,ratio*100))+'%';b.append(i);td.append(b,text);return td}
function cell(content,cls){const td=el('td',undefined,cls);td.append(content);return td}
function fill(id,rows,columns,empty){const body=$(id);body.replaceChildren(...rows);if(rows.length===0){const tr=el('tr'),td=el('td',empty,'soft');td.colSpan=columns;tr.append(td);body.append(tr)}}
function showStatus(s){
 $('what').textContent='v'+s.version+' · node '+s.node+' · '+s.workers+' worker'+(s.workers===1?'':'s')+' · up '+(s.uptimeS<120?num(s.uptimeS)+' s':s.uptimeS<7200?num(s.uptimeS/60)+' min':num(s.uptimeS/3600,1)+' h');
 $('where').textContent=s.dataUrl||'no router runs here';
 $('dev').hidden=!s.development;
 push(samples,{at:performance.now(),t:s.traffic});
 const last=samples[samples.length-1],prev=samples[Math.max(0,samples.length-2)],far=samples[Math.max(0,samples.length-1-SPAN)];
 const dt=(last.at-prev.at)/1000,span=(last.at-far.at)/1000;
 if(dt>0)push(rates,Math.max(0,(last.t.requestsTotal-prev.t.requestsTotal)/dt));
 const p50=samples.length>1?quantile(far.t.ttft,last.t.ttft,.5):null,p95=samples.length>1?quantile(far.t.ttft,last.t.ttft,.95):null;
 push(ttfts,p50);
 $('rate').textContent=span>0?num((last.t.requestsTotal-far.t.requestsTotal)/span,1)+' /s':'–';
 $('rate-note').textContent=num(last.t.requestsTotal)+' in all, '+num(last.t.failedTotal)+' failed';
 $('ttft').textContent=ms(p50);$('ttft-note').textContent='TTFT p50, last '+SPAN+' s · p95 '+ms(p95);
 $('flight').textContent=num(s.traffic.inFlight);
 $('tokens').textContent=span>0?num((last.t.tokensOutTotal-far.t.tokensOutTotal)/span)+' tokens/s out':'';
 $('strategy').textContent=[s.activeStrategy,...Object.entries(s.modelStrategies||{}).map(([model,label])=>label+' for '+model)].join(', ');
 $('strategy-note').textContent=num(last.t.decisionsTotal)+' decisions · '+num(last.t.fallbacksTotal)+' fallbacks · '+num(last.t.strikesTotal)+' strikes';
 spark('rate-spark',rates);spark('ttft-spark',ttfts);
}
function showTargets(items){
 const most=Math.max(...items.map((t)=>t.load),1);
 fill('targets',items.map((t)=>{const tr=el('tr');tr.append(cell(t.id,'mono'),cell(t.models.join(', ')),cell(pill(t.state)),bar(t.load/most,num(t.load)),el('td',num(t.inFlight),'n'),el('td',num(t.queueDepth),'n'),bar(t.kvUsage,num(t.kvUsage*100)+' %'),el('td',ms(t.ttftMs),'n'),el('td',ms(t.tpotMs),'n'),el('td',num(t.errorRatio*100,1)+' %','n'),el('td',t.telemetryAgeMs==null?'none':ms(Math.max(t.telemetryAgeMs,1)),'n'));return tr}),11,'No targets. Add one: infermesh target add --url http://host:port');
}
function showStrategies(items){
 fill('strategies',items.map((s)=>{const tr=el('tr');tr.append(cell(s.name),el('td',s.version),cell(pill(s.stage+(s.canaryPercent==null?'':' '+s.canaryPercent+' %'))),el('td',s.models.length?s.models.join(', '):'all'),el('td',s.digest.slice(0,12),'mono'),el('td',num(s.strikes),'n'),cell(s.previous?'rollback goes here':'','soft'));return tr}),7,'Nothing loaded: the built-in fallback decides.');
}
function note(text,cls){const n=$('note');n.textContent=text;n.className=cls;n.style.display=text?'block':'none'}
async function round(){
 try{
  const [s,t,g]=await Promise.all([get('/api/v1/status'),get('/api/v1/targets'),get('/api/v1/strategies')]);
  showStatus(s);showTargets(t.items);showStrategies(g.items);note('','');$('login').style.display='none';
 }catch(e){
  if(e.status===401){$('login').style.display='flex';note(token?'The token was refused.':'This mesh wants its admin token.','warn');return}
  note(e.status?e.message:'The mesh does not answer; trying again.','bad');
 }
 setTimeout(round,PERIOD_MS);
}
$('login').addEventListener('submit',(e)=>{e.preventDefault();token=$('token').value.trim();sessionStorage.setItem('infermesh-token',token);round()});
round();
`;

const digest = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Content security policy of the page: its own script and style, its own API, nothing else. Widths of bars are set by script. */
export const statusPagePolicy = `default-src 'none'; script-src ${digest(script)}; style-src ${digest(style)}; connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`;

const card = (value: string, note: string, spark = '', label = ''): string =>
	`<div class="card"><small>${label}</small><b id="${value}">–</b><small id="${note}"></small>${
		spark === '' ? '' : `<svg id="${spark}" viewBox="0 0 200 34" preserveAspectRatio="none"></svg>`
	}</div>`;

const head = (titles: readonly string[]): string =>
	`<thead><tr>${titles.map((title) => (title.startsWith('>') ? `<th class="n">${title.slice(1)}</th>` : `<th>${title}</th>`)).join('')}</tr></thead>`;

/** The whole document. */
export const statusPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>InferMesh</title><link rel="icon" href="data:,"><style>${style}</style></head><body><main>
<header><h1>InferMesh</h1><span class="soft" id="what"></span><span class="mono soft" id="where"></span><span class="pill warn" id="dev" hidden>development mesh</span></header>
<p id="note"></p><form id="login"><input id="token" type="password" autocomplete="off" placeholder="admin token (.infermesh/admin.token)"><button>Open</button></form>
<div class="cards">${card('rate', 'rate-note', 'rate-spark', 'Requests')}${card('ttft', 'ttft-note', 'ttft-spark', 'Time to first token')}${card('flight', 'tokens', '', 'In flight')}${card('strategy', 'strategy-note', '', 'Deciding')}</div>
<h2>Targets</h2><div class="table"><table>${head(['target', 'models', 'state', 'load', '>in flight', '>queued', 'KV cache', '>TTFT', '>per token', '>errors', '>report age'])}<tbody id="targets"></tbody></table></div>
<h2>Strategies</h2><div class="table"><table>${head(['name', 'version', 'stage', 'models', 'digest', '>strikes', ''])}<tbody id="strategies"></tbody></table></div>
</main><script>${script}</script></body></html>
`;
