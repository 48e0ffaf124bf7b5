r"""Which LaTeX may be typeset in a page: formulas, and nothing that a formula does not need.

A page's typesetter (MathJax) knows commands that make links, set styles and classes, define other
commands or load extensions. Instead of naming those, what is harmless is named; a formula with
anything else is shown as text.
"""

from __future__ import annotations

import re

__all__ = ["is_formula"]

COMMANDS_BY_KIND = {
    "Greek and other letters": """
        alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi
        rho sigma tau upsilon phi chi psi omega varepsilon vartheta varkappa varpi varrho
        varsigma varphi Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega digamma
        aleph beth gimel daleth hbar hslash ell Re Im wp imath jmath eth partial nabla
    """,
    "functions": """
        arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf injlim
        ker lg lim liminf limsup ln log max min Pr projlim sec sin sinh sup tan tanh
        operatorname mod bmod pmod pod
    """,
    "large operators": """
        sum prod coprod int iint iiint oint bigcap bigcup bigvee bigwedge bigoplus bigotimes
        bigodot biguplus bigsqcup limits nolimits
    """,
    "operators": """
        pm mp times div cdot ast star circ bullet cap cup uplus sqcap sqcup vee wedge land
        lor lnot neg oplus ominus otimes oslash odot dagger ddagger amalg setminus
        smallsetminus wr diamond bigtriangleup bigtriangledown triangleleft triangleright
        bigcirc rtimes ltimes
    """,
    "relations": """
        le leq leqslant ge geq geqslant ne neq equiv sim simeq approx approxeq cong propto
        asymp doteq ll gg lll ggg prec succ preceq succeq subset supset subseteq supseteq
        subsetneq supsetneq sqsubset sqsupset sqsubseteq sqsupseteq in ni notin owns mid
        nmid parallel nparallel perp vdash dashv models smile frown bowtie vDash Vdash
        lesssim gtrsim not triangleq coloneqq
    """,
    "arrows": """
        to gets mapsto leftarrow rightarrow leftrightarrow uparrow downarrow updownarrow
        Leftarrow Rightarrow Leftrightarrow Uparrow Downarrow Updownarrow longleftarrow
        longrightarrow longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow
        longmapsto hookleftarrow hookrightarrow leftharpoonup rightharpoonup leftharpoondown
        rightharpoondown rightleftharpoons nearrow searrow swarrow nwarrow implies impliedby
        iff xleftarrow xrightarrow
    """,
    "delimiters": """
        left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr
        lfloor rfloor lceil rceil langle rangle lbrace rbrace lbrack rbrack lvert rvert
        lVert rVert vert Vert backslash
    """,
    "accents, lines and braces": """
        hat widehat tilde widetilde bar overline underline vec overrightarrow overleftarrow
        dot ddot dddot acute grave check breve mathring overbrace underbrace overset
        underset stackrel prime not boxed
    """,
    "fractions and roots": """
        frac dfrac tfrac cfrac binom dbinom tbinom sqrt over choose atop substack
    """,
    "fonts and text": """
        mathrm mathbf mathit mathsf mathtt mathcal mathscr mathfrak mathbb mathnormal
        boldsymbol bm text textrm textbf textit textsf texttt mbox rm bf it displaystyle
        textstyle scriptstyle scriptscriptstyle
    """,
    "dots, spaces and other symbols": """
        dots ldots cdots vdots ddots dotsc dotsb dotsm dotsi quad qquad thinspace enspace
        infty forall exists nexists emptyset varnothing angle measuredangle triangle square
        Box blacksquare lozenge diamondsuit heartsuit clubsuit spadesuit flat natural sharp
        top bot surd checkmark degree colon lbrace rbrace sp sb
    """,
    "tables": """
        begin end hline cr newline
    """,
}
COMMANDS = frozenset(" ".join(COMMANDS_BY_KIND.values()).split())

ENVIRONMENT_NAMES = """
    align align* aligned alignedat array bmatrix Bmatrix cases dcases displaymath equation
    equation* gather gather* gathered matrix math multline multline* pmatrix smallmatrix split
    vmatrix Vmatrix
"""
ENVIRONMENTS = frozenset(ENVIRONMENT_NAMES.split())

SYMBOLS = frozenset("\\{}|,;:!> %&#_$()[]'-.\n")
"""What may follow a backslash that no letter follows."""

COMMAND = re.compile(r"\\([A-Za-z@]+|.|\Z)", re.DOTALL)
ENVIRONMENT = re.compile(r"\\(?:begin|end)(?:\s*\{([A-Za-z*]{1,20})\})?")
DEEPEST = 50


def is_formula(text: str) -> bool:
    r"""Whether LaTeX has only commands and environments that typeset a formula.

    Every character is seen as LaTeX sees it but for comments (``%``), after which a line may hide
    nothing that would matter here: what a comment hides must be harmless too.
    """
    for name in COMMAND.findall(text):
        if name not in COMMANDS and name not in SYMBOLS:
            return False
    if any(name not in ENVIRONMENTS for name in ENVIRONMENT.findall(text)):
        return False
    return _depth(text) <= DEEPEST


def _depth(text: str) -> int:
    """Give how deep groups are nested at most: typesetting recurses."""
    depth = deepest = 0
    for found in re.findall(r"[{}]|\\(?:left|right|begin|end)(?![A-Za-z])", text):
        depth += -1 if found in ("}", "\\right", "\\end") else 1
        deepest = max(deepest, depth)
    return deepest
