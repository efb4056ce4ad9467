"""Finds IP addresses, and tells those that the internet routes from those of a local network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from tamis.transforms.edit.pii.found_value import FoundValue

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = re.compile(
    rf"(?<![\w.])(?<!\w-)(?<![A-Za-z]/)(?:(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\w)(?!-[A-Za-z])"
    rf"|(?<![0-9] \. )(?:{_OCTET} \. ){{3}}{_OCTET}(?!\w)(?! ?\. ?[0-9]))"
)
_V6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:.]{3,45}(?:%[A-Za-z0-9._-]{1,16})?(?![\w:])")

_NOT_AN_ADDRESS = re.compile(
    r"(?i)(?:\bver(?:sion|s)?|\brelease|\brel|\bbuild|\bfirmware|\brev(?:ision)?|\bupdate|\bpatch|\bkernel|\bdriver|\bsdk|\bapi"
    r"|\bsections?|\bsect?|§|\bchapter|\bclause|\barticle|\bfig(?:ure)?|\btable|\bappendix|\bparagraph|\boid|\bstep|\bitem"
    r"|\bpart|\bec|\bopus|\bagent|\bmailer"
    r"|\bwindows|\bmacos|\bos x|\bios|\bandroid|\blinux|\bubuntu|\bdebian|\bchrome|\bchromium|\bfirefox|\bsafari|\bopera|\bedge"
    r"|\bpython|\bjava|\bphp|\bruby|\bnode(?:\.?js)?|\bmysql|\bpostgres(?:ql)?|\bapache|\bnginx|\bopenssl|\bphotoshop|\bacrobat"
    r"|\breader|\bplayer|\bitunes|\bflash|\bvlc|\bwinamp|\bnero)s?[.:]? ?(?:no\.? ?)?(?:\(|v\.? ?)?\Z"
)
"""What stands before a version, a section, an object identifier or an enzyme."""
_HEADING = re.compile(r"\W*\Z")

# IANA IPv4 and IPv6 Special-Purpose Address Registries, 2026: what is not globally reachable. Not `is_global` of the standard
# library, whose answers differ between versions of Python.
_LOCAL_V4 = tuple(
    IPv4Network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_LOCAL_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NOBODYS = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))
"""Loopback, masks and broadcasts."""


def ip_addresses(text: str, public_only: bool) -> Iterator[FoundValue]:
    """The addresses of a line, in their standard form as their values.

    `public_only`: only those that are reachable from everywhere. Otherwise all but loopback, masks,
    multicast and reserved ones.
    """
    for match in _V4.finditer(text):
        address = IPv4Address(match[0].replace(" ", ""))
        blocks = _LOCAL_V4 if public_only else _NOBODYS
        if not any(address in block for block in blocks) and not _numbered(text, match):
            yield FoundValue("ip", *match.span(), str(address))
    if text.count(":") < 2:
        return
    for match in _V6.finditer(text):
        written = match[0].rstrip(".")
        if written.endswith(":") and not written.endswith("::"):
            written = written[:-1]
        try:
            long = IPv6Address(written)
        except ValueError:
            continue
        routed = long in _GLOBAL_V6 and not any(long in block for block in _LOCAL_V6)
        if routed or (not public_only and _of_a_host(long, written)):
            yield FoundValue("ip", match.start(), match.start() + len(written), str(long))


def _of_a_host(address: IPv6Address, written: str) -> bool:
    """Whether an address of any network has enough digits to be one, unlike `a::b` in a program."""
    return not (address.is_loopback or address.is_unspecified or address.is_multicast) and (
        any(character.isdecimal() for character in written) and len(written) > 5
    )


def _numbered(text: str, match: re.Match[str]) -> bool:
    """Whether the number counts something else: a version, or the section whose heading follows it."""
    before, after = text[max(0, match.start() - 24) : match.start()], text[match.end() : match.end() + 3]
    if _NOT_AN_ADDRESS.search(before):
        return True
    small = all(int(octet) <= 30 for octet in match[0].split("."))
    return (
        small and match.start() <= 4 and _HEADING.match(before) is not None and re.match(r"\)? +[^\W\d_a-z]", after) is not None
    )
