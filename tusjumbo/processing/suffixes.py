"""Suffixes: the media type that a file's name claims, for clients that state none.

The system has such a table, too, and so has Python: each a different one, and with gaps where it
matters. Here are the types that `tusjumbo.processing.kinds` tells apart, and those that people
upload. A suffix that is not here claims nothing.

Pure. A claim is a claim: content decides (`tusjumbo.processing.media`).
"""

from __future__ import annotations

from tusjumbo.processing.kinds import (
    APK,
    HTML,
    JAR,
    JAVASCRIPT,
    JSON,
    OOXML,
    PE,
    PLAIN,
    SHELL,
    SVG,
    XHTML,
    XML,
    ZIP,
)

_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."

# canonical type: suffixes
_SUFFIXES = {
    PLAIN: "txt text log",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv tab",
    "text/markdown": "md markdown",
    "text/css": "css",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    JSON: "json",
    "application/geo+json": "geojson",
    "application/x-ndjson": "ndjson jsonl",
    "application/yaml": "yaml yml",
    XML: "xml",
    "text/xsl": "xsl xslt",
    HTML: "html htm shtml",
    XHTML: "xhtml xht",
    SVG: "svg svgz",
    "multipart/related": "mht mhtml",
    "message/rfc822": "eml",
    "application/hta": "hta",
    JAVASCRIPT: "js mjs cjs jse",
    "text/vbscript": "vbs vbe",
    "text/x-powershell": "ps1 psm1",
    "text/x-msdos-batch": "bat cmd",
    SHELL: "sh bash csh ksh zsh",
    "text/x-python": "py pyw",
    "text/x-perl": "pl pm cgi",
    "text/x-ruby": "rb",
    "text/x-php": "php php3 php4 php5 php7 php8 phps phtml phar",
    PE: "exe dll com scr sys cpl pif",
    "application/x-msi": "msi msp",
    "application/x-ms-shortcut": "lnk",
    JAR: "jar war ear",
    APK: "apk",
    "application/java-vm": "class",
    "application/wasm": "wasm",
    "application/vnd.adobe.flash.movie": "swf",
    "application/x-debian-package": "deb",
    "application/x-rpm": "rpm",
    "application/x-xpinstall": "xpi",
    "application/x-google-chrome-extension": "crx",
    "application/pdf": "pdf",
    "application/rtf": "rtf",
    "application/msword": "doc dot",
    "application/vnd.ms-excel": "xls xlt",
    "application/vnd.ms-powerpoint": "ppt pot pps",
    f"{OOXML}wordprocessingml.document": "docx",
    f"{OOXML}spreadsheetml.sheet": "xlsx",
    f"{OOXML}presentationml.presentation": "pptx",
    f"{_OPEN_DOCUMENT}text": "odt",
    f"{_OPEN_DOCUMENT}spreadsheet": "ods",
    f"{_OPEN_DOCUMENT}presentation": "odp",
    "application/epub+zip": "epub",
    "application/postscript": "ps eps",
    ZIP: "zip",
    "application/gzip": "gz tgz",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/zstd": "zst",
    "application/x-tar": "tar",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/vnd.apache.parquet": "parquet",
    "image/png": "png",
    "image/apng": "apng",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/bmp": "bmp",
    "image/tiff": "tif tiff",
    "image/vnd.microsoft.icon": "ico",
    "image/vnd.adobe.photoshop": "psd",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a m4b",
    "audio/aac": "aac",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg oga",
    "audio/opus": "opus",
    "audio/midi": "mid midi",
    "video/mp4": "mp4 m4v",
    "video/quicktime": "mov qt",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpg mpeg",
    "video/ogg": "ogv",
    "video/3gpp": "3gp",
    "video/x-ms-wmv": "wmv",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/woff": "woff",
    "font/woff2": "woff2",
}
_TYPES = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def claimed(filename: str) -> str:
    """The canonical type by the last suffix of a name; empty if that says nothing.

    Windows overlooks dots and spaces at the end, so they hide nothing.
    """
    _, dot, suffix = filename.rstrip(". ").rpartition(".")
    return _TYPES.get(suffix.lower(), "") if dot else ""
