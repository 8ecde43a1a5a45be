"""Elements by what formats write of an atom: only symbols of the periodic table, and none that cannot be known.

Symbols in a column of their own are taken as they are. Names of atoms (PDB without that column, XYZ of simulations)
begin with a symbol, but CA may be calcium or the alpha carbon: what else a file has decides.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Iterable

TABLE = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb
    Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au
    Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts
    Og
""".split()  # noqa: SIM905 - easier to read than 118 strings
SYMBOLS = {symbol.upper().encode(): symbol.encode() for symbol in TABLE} | {b"D": b"H"}  # deuterium is hydrogen
LETTERS = re.compile(rb"[A-Za-z]+")
LABEL = re.compile(rb"([A-Za-z]{1,2})(?![a-z])")
# Names that are no other atom's: no atom of a protein or a force field is called so
SURE = {b"CL", b"BR", b"FE", b"SI", b"CU", b"NI", b"ZN", b"MG", b"MN", b"LI", b"AL", b"SE"}
# What force fields call ions
IONS = {b"SOD": b"Na", b"CLA": b"Cl", b"POT": b"K", b"CAL": b"Ca", b"CES": b"Cs", b"RUB": b"Rb", b"LIT": b"Li",
        b"BAR": b"Ba", b"CAD": b"Cd", b"ZN2": b"Zn"}  # fmt: skip
# Residues whose atoms are no metals, by the names that PDB and force fields give them
RESIDUES = set(
    b"""ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL ASX GLX SEC PYL
    HSD HSE HSP HID HIE HIP CYX CYM ASH GLH LYN ACE NME NMA NH2 A C G U T I DA DC DG DT DU DI ADE CYT GUA URA THY
    RA RC RG RU HOH WAT SOL TIP TIP3 TIP4 SPC DOD""".split()
)


def symbol(word: bytes) -> bytes:
    """Return the element of a word that is a symbol, in capitals or not, perhaps with a charge; empty for none."""
    found = LETTERS.match(word.strip())
    return SYMBOLS.get(found.group().upper(), b"") if found else b""


def of_label(word: bytes) -> bytes:
    """Return the element of a label such as Na1, O1W or CL2."""
    found = LABEL.match(word.strip())
    if not found:
        return b""
    letters = found.group(1)
    if len(letters) == 2 and letters[1:].islower():
        return SYMBOLS.get(letters.upper(), b"")
    return of_name(letters)


def of_name(name: bytes) -> bytes:
    """Return the element of an atom's name, such as CA, HG11, OW or 1HB: the first letter, unless it is none."""
    found = LETTERS.search(name)
    if not found:
        return b""
    letters = found.group().upper()
    if letters[:2] in SURE:
        return SYMBOLS[letters[:2]]
    return SYMBOLS.get(letters[:1]) or SYMBOLS.get(letters[:2], b"")


def of_pdb(names: Tally[tuple[bytes, bytes, bool]]) -> Tally[bytes]:
    """Return the elements of atoms by the four columns of their names, residue, and whether they are hetero atoms.

    The format puts a symbol of one letter into the second column, but many programs begin in the first.
    """
    left = any(name[:1] in {b"N", b"C", b"O", b"H"} and name[1:] == b"   " for name, _, _ in names)
    found: Tally[bytes] = Tally()
    for (name, residue, hetero), count in names.items():
        found[_of_pdb(name, residue, hetero, left)] += count
    return found


def _of_pdb(name: bytes, residue: bytes, hetero: bool, left: bool) -> bytes:
    word = name.strip().rstrip(b"+-0123456789")
    if word in IONS and (residue == word or residue.rstrip(b"0123456789") == word):
        return IONS[word]
    if word == residue.strip().rstrip(b"+-0123456789") and word in SYMBOLS:
        return SYMBOLS[word]  # an ion is a residue of its own
    if left or residue.strip() in RESIDUES or not name[:1].isalpha():
        return of_name(name)
    two = SYMBOLS.get(name[:2].upper(), b"")  # in its column, a symbol of two letters
    long_hydrogen = name[:1] == b"H" and len(name.strip()) > 2
    return two if two and hetero and not long_hydrogen else of_name(name)  # other metals than the sure are hetero


def of_words(words: Tally[bytes]) -> Tally[bytes]:
    """Return the elements of the first words of lines of XYZ: symbols, numbers, or names, as all of them allow."""
    kept = {word: word.strip() for word in words}
    symbols = {word: symbol(text) for word, text in kept.items() if text and not text.isdigit()}
    are_names = not all(symbols.values())
    kinds = set(kept.values())
    # alpha carbons alone, or the backbone of a protein: calcium or carbon, nobody knows
    unknown = {b"CA", b"CD", b"CE", b"NE", b"HG"} if kinds == {b"CA"} or {b"C", b"N", b"CA"} <= kinds else set()
    found: Tally[bytes] = Tally()
    for word, count in words.items():
        text = kept[word]
        if text.isdigit():
            number = int(text[:4])
            found[TABLE[number - 1].encode() if 1 <= number <= len(TABLE) else b""] += count
        elif are_names and not text[1:2].islower():
            found[of_name(text)] += count
        elif text in unknown:
            found[b""] += count
        else:
            found[symbols.get(word, b"") or of_label(text)] += count
    return found


def of_types(word: bytes) -> bytes:
    """Return the element of a type of mol2: C.3 of Sybyl, or ca of a force field, which are small letters."""
    kind = word.split(b".", 1)[0]
    if kind[:1].islower():
        return SYMBOLS[kind[:2].upper()] if kind[:2] in {b"cl", b"br"} else SYMBOLS.get(kind[:1].upper(), b"")
    return symbol(kind)


def counts(tally: Iterable[tuple[bytes, int]]) -> dict[str, int]:
    """Return elements and how often they came, those that are not known left out."""
    return {element.decode(): count for element, count in sorted(tally) if element}
