"""All hostile payloads by every way to a page of JupyterLab, and what became of them there."""

from __future__ import annotations

from tests.browser.lab import LOADED, SOON
from tests.hostile import payloads as hostile

AT_ONCE = 45
"""Payloads in one cell: Lab shows the first 50 outputs of a cell."""

# What was done before by the page is done when this is: an image that cannot be shown says so last.
SETTLED = """() => new Promise(done => {
  const image = new Image();
  image.onerror = () => requestAnimationFrame(() => setTimeout(done, 100));
  image.src = "data:image/png,none";
})"""

# A reader's mouse and keyboard on all HTML of the remote, and on what Lab makes links of in text.
TOUCH = """cell => {
  const frames = ".jp-OutputArea-output .mathjax_ignore";
  const links = "a[href^='javascript:'], a[href^='vbscript:']";
  const parts = [...cell.querySelectorAll(`${frames} *, ${links}, .jp-mod-trusted > *`)];
  for (const part of parts) {
    for (const kind of ["pointerenter", "mouseover", "mousemove", "wheel"])
      part.dispatchEvent(new MouseEvent(kind, { bubbles: true }));
    for (const kind of ["focus", "focusin"])
      part.dispatchEvent(new FocusEvent(kind, { bubbles: true }));
    if (!part.matches("a[data-path]"))
      part.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  }
  return parts.filter(part => part.matches("a")).map(part => part.href);
}"""

# Lab itself makes links of what looks like an address in text, javascript:// included; they open
# apart from the page (noopener), where browsers run no such address.
FOREIGN = """cell => [...cell.querySelectorAll(".jp-OutputArea-output *")].filter(part =>
  part.matches("script, iframe, object, embed, form, link, meta, base, style, [srcdoc]")
  || [...part.attributes].some(attribute => /^on|^data-commandlinker/i.test(attribute.name)
    && !(part.matches("button.nbrpc-copy") && attribute.name === "onclick"))
  || /^\\s*(javascript|vbscript):/i.test(part.getAttribute("href") ?? "")
    && !(part.target === "_blank" && part.rel === "noopener" && part.closest("pre"))
  || part.closest(".mathjax_ignore") && (
    !/^(https?|mailto):/i.test(part.getAttribute("href") ?? "http:")
    || ["fixed", "absolute"].includes(getComputedStyle(part).position))
).map(part => part.outerHTML)"""


def watched(notebook):
    """Note the dialogs that a page opens; close what opens beside it."""
    dialogs = []

    def refuse(dialog):
        dialogs.append(dialog.message)
        dialog.dismiss()

    notebook.page.on("dialog", refuse)
    notebook.page.on("popup", lambda popup: popup.close())
    return dialogs


def ways():
    """Every way to a page: the source of a cell, and how many outputs or which text it shows."""
    count = len(hostile.bundles())
    for first in range(0, count, AT_ONCE):
        last = min(first + AT_ONCE, count)
        yield f"for n in range({first}, {last}): display(conn.root.shown(n))", last - first
    imports = "from tests.hostile import payloads as hostile\nfrom IPython.display import display\n"
    showing = f"{imports}for bundle in "
    for first in range(0, count, AT_ONCE):
        some = f"hostile.bundles()[{first}:{first + AT_ONCE}]"
        source = f"%%remote\n{showing}{some}: display(bundle, raw=True)"
        yield source, min(AT_ONCE, count - first)
    text = "from tests.browser.hostile_server import SENDABLE\n"
    printing = "import sys\nprint(SENDABLE)\nprint(SENDABLE, file=sys.stderr)"
    yield f"%%remote\n{text}{printing}", "foreign"
    yield f"%%remote\n{text}raise ValueError(SENDABLE)", "ValueError"
    yield f"%%remote\n{text}SENDABLE", "script"
    yield f"%%remote\n{text}raise type(SENDABLE[:40], (Exception,), {{}})(SENDABLE)", "script"
    yield f"%%remote -a\n{text}print(SENDABLE)\nraise ValueError(SENDABLE)", "ValueError"
    yield f"%%remote -a\n{showing}hostile.bundles(): display(bundle, raw=True)", "done"
    yield "conn.root.fail()", "ValueError"
    yield "nbrpc.async_(conn.root.fail)()", "ValueError"
    yield "job = nbrpc.async_(conn.root.work)()\njob", "running"
    yield "job.cancel()\n%rpc_wait job\nprint('cancelled')", "cancelled"
    yield "thing = conn.root.named()\ndisplay(thing)\nprint(repr(thing), *dir(thing))", "script"
    yield "%whos", "thing"
    yield "thing?", "Type"
    yield "display({'text/plain': 'x'}, raw=True)\n%rpc_connections", "hostile"
    yield "from nbrpc.widgets import *\nEventFeed(conn.root.alarm)", "alarm"
    yield "LivePlot(conn.root.alarm)", "alarm"
    yield "ValueTile(conn.root.alarm)", "alarm"
    yield "Explorer(thing)", "at hostile"
    yield "failing = nbrpc.async_(conn.root.fail)()\nResultView(failing)", "ValueError"
    yield "ResultBoard([failing])", "ValueError"
    yield "ConnectionCard(conn)", "hostile"
    yield "%rpc_events", "alarm"
    yield "seen = []\nprint('none')", "none"
    yield "%%rpc_on conn.root.alarm\nprint(event)\nseen.append(event)", ""
    # It sleeps between two looks.
    waiting = "while len(seen) < 20: await asyncio.sleep(0.05)\nprint('events came', *seen)"
    yield f"import asyncio\nconn.root.ring()\n{waiting}", "events came"


def show_everything(notebook, chromium, cells):
    """Run cells that show payloads, touch all that they show; give what ran, loaded or opened."""
    page, wrong = notebook.page, []
    dialogs = watched(notebook)
    notebook.run(0)
    address = page.url
    before = len(chromium.strangers)
    for number, (source, shown) in enumerate(cells, start=1):
        cell = notebook.run(number)
        wait_for(page, cell, shown)
        page.evaluate(SETTLED)
        wrong += [f"ran: {source}"] * (page.evaluate("() => window.__pwned") is not None)
        wrong += [f"loaded {url}: {source}" for url in chromium.strangers[before:]]
        wrong += [f"stands there: {part}" for part in page.evaluate(FOREIGN, cell.element_handle())]
        links = page.evaluate(TOUCH, cell.element_handle())
        page.evaluate(SETTLED)
        wrong += [f"ran when touched: {source}"] * (
            page.evaluate("() => window.__pwned") is not None
        )
        led = set(chromium.strangers[before:]) - set(links)  # links may lead where they say
        wrong += [f"loaded {url} when touched: {source}" for url in led]
        del chromium.strangers[before:]
        wrong += [f"opened {text}: {source}" for text in dialogs]
        wrong += [f"went to {page.url}: {source}"] * (page.url != address)
        if wrong:
            return wrong
    # The events have come to the views of earlier cells meanwhile.
    everything = page.locator(".jp-Notebook").element_handle()
    return [f"stands there: {part}" for part in page.evaluate(FOREIGN, everything)]


def wait_for(page, cell, shown):
    """Wait for so many outputs of a cell, or for a text in one."""
    if isinstance(shown, int):
        page.wait_for_function(
            "([cell, count]) => cell.querySelectorAll('.jp-OutputArea-output').length >= count",
            arg=[cell.element_handle(), shown],
            timeout=LOADED,
        )
    elif shown:
        outputs = cell.locator(".jp-OutputArea-output")
        outputs.filter(has_text=shown).first.wait_for(timeout=SOON, state="attached")
