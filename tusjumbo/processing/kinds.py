"""Kinds: what is known of media types by their names, in one place.

One type has many names (`canonical`). A format may be built upon another, so that its content may
look like that and no more (`built_upon`): a docx is a zip archive, a CSV file is plain text. And
some formats are run by who opens them (`danger`): those count as nothing but themselves, since
"svg is XML, and XML is text" must never let an SVG pass for text.

Pure. It knows names only: content is `tusjumbo.processing.sniffing`'s.
"""

from __future__ import annotations

import enum
import re

OCTETS = "application/octet-stream"
"""Binary data of a kind that nobody recognised; also what clients say who do not know."""
PLAIN = "text/plain"
ZIP = "application/zip"
OLE = "application/x-ole-storage"
XML = "application/xml"
SVG = "image/svg+xml"
XHTML = "application/xhtml+xml"
HTML = "text/html"
JSON = "application/json"
JAVASCRIPT = "text/javascript"
SHELL = "text/x-shellscript"
JAR = "application/java-archive"
APK = "application/vnd.android.package-archive"
PE = "application/vnd.microsoft.portable-executable"
ELF = "application/x-executable"
ISO_MEDIA = "video/mp4"
OOXML = "application/vnd.openxmlformats-officedocument."


_IN_TWO_FAMILIES = {XML: "text", "application/rtf": "text", "application/yaml": "text"}
"""Registered, or long used, under both."""


class Danger(enum.Enum):
    """Who runs the content, if it is not what it was taken for."""

    MARKUP = "markup"
    """A browser: pages, and whatever may hold scripts as they do."""
    SCRIPT = "script"
    """An interpreter, or a page that names it as its script."""
    PROGRAM = "program"
    """The machine, or a virtual one."""


# canonical: other names
_NAMES = {
    OCTETS: "binary/octet-stream application/binary application/x-binary application/unknown"
    " application/force-download application/x-download",
    PLAIN: "application/x-empty inode/x-empty",
    ZIP: "application/x-zip-compressed application/x-zip application/x-compressed multipart/x-zip",
    OLE: "application/cdfv2 application/cdfv2-corrupt application/cdfv2-unknown",
    XML: "text/xml application/x-xml",
    SVG: "image/svg application/svg+xml text/svg",
    XHTML: "application/xhtml",
    HTML: "application/html",
    JSON: "text/json text/x-json application/x-json",
    JAVASCRIPT: "application/javascript application/x-javascript text/x-javascript"
    " application/ecmascript application/x-ecmascript text/ecmascript text/jscript text/livescript",
    SHELL: "application/x-sh application/x-shellscript text/x-sh application/x-csh text/x-csh"
    " application/x-bash",
    "text/x-python": "text/x-script.python application/x-python application/x-python-code",
    "text/x-perl": "application/x-perl text/x-script.perl",
    "text/x-ruby": "application/x-ruby",
    "text/x-php": "application/x-php application/x-httpd-php text/php application/php",
    "text/x-msdos-batch": "application/bat application/x-bat application/x-msdos-batch",
    JAR: "application/x-java-archive application/x-jar application/jar",
    PE: "application/x-msdownload application/x-dosexec application/x-msdos-program"
    " application/exe application/x-exe application/x-winexe",
    ELF: "application/x-pie-executable application/x-sharedlib application/x-object"
    " application/x-coredump application/x-elf application/x-archive-elf",
    "application/java-vm": "application/x-java-applet application/java application/x-java-class",
    "application/x-debian-package": "application/vnd.debian.binary-package application/x-deb",
    "application/x-rpm": "application/x-redhat-package-manager",
    "application/vnd.adobe.flash.movie": "application/x-shockwave-flash",
    "text/csv": "application/csv application/x-csv text/x-csv text/comma-separated-values"
    " text/x-comma-separated-values",
    "text/tab-separated-values": "text/tsv text/x-tsv",
    "text/markdown": "text/x-markdown",
    "application/yaml": "text/yaml text/x-yaml application/x-yaml",
    "application/rtf": "text/rtf text/richtext application/x-rtf",
    "application/pdf": "application/x-pdf application/acrobat text/pdf",
    "application/gzip": "application/x-gzip application/gzip-compressed application/x-gunzip",
    "application/x-bzip2": "application/x-bzip application/bzip2",
    "application/vnd.rar": "application/x-rar application/x-rar-compressed application/rar",
    "application/zstd": "application/x-zstd",
    "application/x-tar": "application/tar application/x-gtar application/x-ustar",
    "application/vnd.sqlite3": "application/x-sqlite3",
    "application/vnd.apache.parquet": "application/x-parquet application/parquet",
    "application/postscript": "application/ps application/x-postscript",
    "image/jpeg": "image/jpg image/pjpeg",
    "image/png": "image/x-png",
    "image/bmp": "image/x-ms-bmp image/x-bmp image/x-windows-bmp",
    "image/vnd.microsoft.icon": "image/x-icon image/ico image/icon",
    "image/tiff": "image/x-tiff image/tif",
    "image/vnd.adobe.photoshop": "image/x-photoshop application/photoshop application/x-photoshop",
    "audio/wav": "audio/x-wav audio/wave audio/vnd.wave",
    "audio/flac": "audio/x-flac",
    "audio/mpeg": "audio/mp3 audio/x-mp3 audio/x-mpeg audio/mpeg3 audio/x-mpeg-3",
    "audio/aac": "audio/x-aac audio/x-hx-aac-adts audio/aacp",
    "audio/midi": "audio/mid audio/x-midi",
    "audio/aiff": "audio/x-aiff",
    "audio/mp4": "audio/x-m4a audio/m4a",
    ISO_MEDIA: "video/x-m4v application/mp4",
    "video/x-msvideo": "video/avi video/msvideo video/vnd.avi",
    "video/x-matroska": "video/matroska",
    "video/x-ms-asf": "application/vnd.ms-asf",
    "font/woff": "application/font-woff application/x-font-woff",
    "font/woff2": "application/font-woff2",
    "font/sfnt": "application/font-sfnt",
    "font/ttf": "application/x-font-ttf application/x-font-truetype",
    "font/otf": "application/x-font-otf application/vnd.ms-opentype",
}
_CANONICAL = {other: name for name, others in _NAMES.items() for other in others.split()}

_DANGERS = {
    Danger.MARKUP: (HTML, XHTML, SVG, XML, "text/xsl", "message/rfc822", "multipart/related"),
    Danger.SCRIPT: (
        *(JAVASCRIPT, SHELL, "text/x-python", "text/x-perl", "text/x-ruby", "text/x-php"),
        *("text/x-msdos-batch", "text/vbscript", "text/x-powershell", "application/hta"),
    ),
    Danger.PROGRAM: (
        *(PE, ELF, JAR, APK, "application/java-vm", "application/wasm", "application/x-rpm"),
        *("application/x-mach-binary", "application/x-dex", "application/x-ms-shortcut"),
        *("application/x-msi", "application/x-debian-package", "application/x-xpinstall"),
        *("application/vnd.adobe.flash.movie", "application/x-google-chrome-extension"),
    ),
}
_DANGER = {name: danger for danger, names in _DANGERS.items() for name in names}

# What begins with a signature, so that content without it is not that.
_SIGNED_FAMILIES = ("image", "audio", "video", "font")
_SIGNED = frozenset(
    (
        *(ZIP, OLE, "application/rtf", "application/pdf", "application/gzip"),
        *("application/x-bzip2", "application/vnd.rar", "application/zstd", "application/x-tar"),
        *("application/x-xz", "application/vnd.sqlite3", "application/vnd.apache.parquet"),
        *("application/postscript", "application/x-7z-compressed", "application/ogg"),
    )
)

# What a format is: each of its files is one of those, too.
_BUILT_UPON = {
    "application/msword": (OLE,),
    "application/vnd.ms-excel": (OLE,),
    "application/vnd.ms-powerpoint": (OLE,),
    "application/vnd.ms-outlook": (OLE,),
    "application/vnd.visio": (OLE,),
    "application/x-msi": (OLE,),
    JAR: (ZIP,),
    APK: (ZIP, JAR),
    "application/x-xpinstall": (ZIP,),
    "application/x-compressed-tar": ("application/gzip",),
    "application/x-tgz": ("application/gzip",),
    SVG: (XML,),
    XHTML: (XML,),
    XML: (PLAIN,),
    JSON: (PLAIN,),
    "image/apng": ("image/png",),
    "image/heic": ("image/heif",),
    "image/x-adobe-dng": ("image/tiff",),
    "image/x-canon-cr2": ("image/tiff",),
    "image/x-nikon-nef": ("image/tiff",),
    "audio/mp4": (ISO_MEDIA,),
    "video/3gpp": (ISO_MEDIA,),
    "audio/3gpp": ("video/3gpp", ISO_MEDIA),
    "audio/webm": ("video/webm",),
    "audio/ogg": ("application/ogg",),
    "video/ogg": ("application/ogg",),
    "audio/opus": ("audio/ogg", "application/ogg"),
    "audio/x-ms-wma": ("video/x-ms-asf",),
    "video/x-ms-wmv": ("video/x-ms-asf",),
    "font/ttf": ("font/sfnt",),
    "font/otf": ("font/sfnt",),
    "font/collection": ("font/sfnt",),
}
# What honest clients call by that name, besides.
_MISTAKEN_FOR = {
    "application/msword": ("application/rtf",),  # Word saves RTF under .doc
    # Windows with Excel calls every CSV file that.
    "application/vnd.ms-excel": ("text/csv", "text/tab-separated-values", PLAIN),
    HTML: (XHTML, XML, PLAIN),
    XHTML: (HTML,),
    "audio/aac": (ISO_MEDIA, "audio/mp4"),
    "audio/ogg": ("video/ogg",),
    "application/x-compress": ("application/gzip",),
}
# By a part of the name, for those that are many.
_PATTERNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"application/vnd\.(?:openxmlformats-officedocument|oasis\.opendocument)\..*", (ZIP,)),
    (r"application/vnd\.ms-.*\.macroenabled\.12", (ZIP,)),
    (r".*\+zip|application/vnd\.google-earth\.kmz|model/3mf", (ZIP,)),
    (r".*\+gzip", ("application/gzip",)),
    (r".*\+json|application/(?:x-)?ndjson|application/jsonl(?:ines)?", (JSON, PLAIN)),
    (r".*\+xml", (XML,)),
    (r"text/.*", (PLAIN,)),
)


def canonical(media_type: str) -> str:
    """The one name for a type, without parameters; empty if none is given."""
    name = media_type.partition(";")[0].strip().lower()
    return _CANONICAL.get(name, name)


def families(media_type: str) -> tuple[str, ...]:
    """What may stand before the slash: for most one word, for `application/xml` also `text`."""
    family = media_type.partition("/")[0]
    return (family, _IN_TWO_FAMILIES[media_type]) if media_type in _IN_TWO_FAMILIES else (family,)


def danger(media_type: str) -> Danger | None:
    """:param media_type: canonical"""
    found = _DANGER.get(media_type)
    return Danger.MARKUP if found is None and media_type.endswith("+xml") else found


def built_upon(media_type: str) -> tuple[str, ...]:
    """What every file of this (canonical) type is as well."""
    if media_type in _BUILT_UPON:
        return _BUILT_UPON[media_type]
    return next((upon for name, upon in _PATTERNS if re.fullmatch(name, media_type)), ())


def lookalikes(media_type: str) -> tuple[str, ...]:
    """What content of this (canonical) type may rightly be recognised as, besides itself.

    Nothing that is run by others than the type itself is.
    """
    if not is_known(media_type):
        return (PLAIN, OCTETS)
    return (*built_upon(media_type), *_MISTAKEN_FOR.get(media_type, ()))


def is_known(media_type: str) -> bool:
    """Whether there are files of which can be said that they are not of this type."""
    return (
        media_type in _SIGNED
        or media_type in _DANGER
        or media_type in _MISTAKEN_FOR
        or media_type.partition("/")[0] in _SIGNED_FAMILIES
        or bool(built_upon(media_type))
    )


def is_text(media_type: str) -> bool:
    """Whether it is text that nothing runs: which text, content can only guess."""
    return danger(media_type) is None and PLAIN in (media_type, *built_upon(media_type))
