"""How the page looks: light and dark, readable without colour, at any width, and on paper.

Colours of letters stand 4.5 to 1 against what is behind them (WCAG 2.2, 1.4.3), which a test counts.
"""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#16202c;--soft:#5a6878;--line:#dfe4ea;--link:#0b57c2;
--warn:#7a4300;--warnbg:#fff3dc;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
--on:#fff;--I:#2b66cf;--F:#0b7385;--M:#8b3fc4;--A:#1f7d47;--H:#5c7509;--S:#96640a;--K:#5f6b7a;--none:#ced5dd;
--untold:#5f6b78;--secret:#111827;--secured:#0b7871;--danger:#cc2136;--locked:#f2b705;--droppable:#b3307c;
--swapped:#c2410c;--nodump:#44515f;--onsecret:#fff;--onlocked:#241b00;
--lockedink:#7a5a00}
@media(prefers-color-scheme:dark){:root{--page:#0f141b;--card:#171e27;--ink:#e6ebf1;--soft:#98a6b5;--line:#2a3441;
--link:#7db2ff;--warn:#ffcf85;--warnbg:#33270f;
--on:#0b1016;--I:#5f98f7;--F:#2bb6cb;--M:#bd88ec;--A:#4abd79;--H:#a6c43d;--S:#e3ac31;--K:#8793a1;--none:#3a4552;
--untold:#8793a1;--secret:#f5f7fa;--secured:#3fcbc2;--danger:#ff6472;--locked:#ffd24a;--droppable:#f394d1;
--swapped:#ff8f55;--nodump:#a9b6c4;--onsecret:#0b1016;--lockedink:#ffd24a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 28px 64px}
h1{font-size:22px;line-height:1.3;margin:0 0 2px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:15px;margin:0 0 12px}
.by{margin:0 0 22px;color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 22px;margin:0 0 18px}
dl,dd,dt{margin:0}
.totals{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));padding:0;overflow:hidden}
.totals div{padding:16px 22px;box-shadow:1px 0 var(--line),0 1px var(--line)}
dt{color:var(--soft);font-size:13px;display:flex;gap:7px;align-items:center}
dd{font-size:24px;font-weight:600;letter-spacing:-.02em;font-variant-numeric:tabular-nums;white-space:nowrap}
dd.zero{font-weight:400}
.notes{overflow-wrap:anywhere;background:var(--warnbg);border-color:transparent;color:var(--warn)}
.notes p{margin:0}.notes p+p{margin-top:6px}
.map{overflow-x:auto;font:600 12px/20px var(--mono);padding:2px}
.row{display:flex;align-items:center;min-width:max-content;height:27px}
.at{min-width:116px;padding-right:12px;flex:none;color:var(--soft);font-weight:400}
.gap{color:var(--soft);padding-left:10px;white-space:nowrap;font-weight:400}
.after .gap{padding-left:0}
.cells,.bar{display:flex}
.p{display:block;height:22px;line-height:22px;border-radius:3px;overflow:hidden;text-decoration:none;white-space:pre;
letter-spacing:calc(10px - 1ch);text-indent:1.5px;width:calc(var(--n)*10px - 1px);margin-right:1px}
.p i{font-style:normal;opacity:.32}
.p.on{border-radius:0;margin-right:0;width:calc(var(--n)*10px)}
.p.free{color:var(--soft);font-weight:400}
a.p:hover,a.p:focus-visible{outline:2px solid var(--ink);outline-offset:1px;position:relative}
:where(.p,.swatch,.bar b){--c:var(--untold);--t:var(--on)}
.p,.swatch,.bar b{background:var(--c);color:var(--t)}
.p.out{background:color-mix(in srgb,var(--c) 15%,var(--card));color:color-mix(in srgb,var(--p,var(--c)) 72%,var(--ink));
--e:color-mix(in srgb,var(--c) 34%,var(--card));box-shadow:inset 0 1px var(--e),inset 0 -1px var(--e)}
.p.maybe{color:var(--ink);background:repeating-linear-gradient(45deg,color-mix(in srgb,var(--c) 30%,var(--card)) 0 4px,
color-mix(in srgb,var(--c) 12%,var(--card)) 4px 8px)}
.p.free{background:none}
.kI{--c:var(--I)}.kF{--c:var(--F)}.kM{--c:var(--M)}.kA{--c:var(--A)}
.kH{--c:var(--H)}.kS{--c:var(--S)}.kK{--c:var(--K)}
.none{--c:var(--none);--t:var(--ink);--p:var(--soft)}.untold{--c:var(--untold)}
.secret{--c:var(--secret);--t:var(--onsecret)}.secured{--c:var(--secured)}
.danger{--c:var(--danger)}.locked{--c:var(--locked);--t:var(--onlocked);--p:var(--lockedink)}
.droppable{--c:var(--droppable)}.swapped{--c:var(--swapped)}.nodump{--c:var(--nodump)}
.p.nodump{text-decoration:underline}
.how{margin:12px 0 0;color:var(--soft);font-size:13px}
.swatch{display:inline-block;min-width:19px;height:19px;border-radius:4px;text-align:center;
font:600 12px/19px var(--mono);padding:0 5px;flex:none}
.bar{height:12px;border-radius:6px;overflow:hidden;margin:2px 0 14px;gap:1px;background:var(--line)}
.bar b{min-width:2px}
.two{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:18px}
@media(max-width:900px){.two{grid-template-columns:minmax(0,1fr);gap:0}main{padding:20px 12px}section{padding:16px 14px}
.totals div{padding:14px}}
@media(max-width:480px){dd{font-size:20px}}
ul{list-style:none;margin:0;padding:0}
li{display:flex;gap:10px;padding:5px 0}
li .swatch{margin-top:2px}
li.rest{color:var(--soft);font-size:13px}
table{border-collapse:collapse;width:100%;font-size:13px}
caption{text-align:left;color:var(--soft);padding:0 0 8px}
th{font-weight:500;color:var(--soft);text-align:left;border-bottom:1px solid var(--line);padding:4px 16px 6px 0}
td{padding:4px 16px 4px 0;border-bottom:1px solid color-mix(in srgb,var(--line) 55%,transparent);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.m{font:12px/20px var(--mono);white-space:nowrap}
.w{white-space:nowrap}
span.w{margin-right:8px;display:inline-block}
td.name{overflow-wrap:anywhere;min-width:14em;width:52%}
tr:target td{background:color-mix(in srgb,var(--link) 18%,var(--card))}
.regions,.two section{overflow-x:auto}
.zero{color:var(--soft)}
@media(forced-colors:active){.p,.swatch,.bar b{forced-color-adjust:none}}
@media print{body{background:#fff}section{border-color:#ccc}.two section{break-inside:avoid}}
"""
