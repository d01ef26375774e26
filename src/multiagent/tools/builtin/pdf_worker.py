"""Text of a PDF file, taken in a process that may be killed: ``python -m`` this with a path, pages and characters.

Answers one line of JSON on standard output: ``{"pages": [text…], "total": n}`` or ``{"error": text}``.
"""

import json
import sys

MEMORY = 2 << 30
CPU_SECONDS = 60


def main(path: str, most_pages: int, most_characters: int) -> dict[str, object]:
    """Return the answer."""
    _bound()
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        return {"error": "it is protected by a password" if "assword" in str(error) else f"it is damaged ({error})"}
    pages: list[str] = []
    left = most_characters
    for number in range(min(len(document), most_pages)):
        page = document[number]
        text = page.get_textpage().get_text_range().replace("\r\n", "\n").replace("\r", "\n")
        page.close()
        pages.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return {"pages": pages, "total": len(document)}


def _bound() -> None:
    """Bound memory and processor time, where the system can."""
    try:
        import resource
    except ImportError:
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_SECONDS)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    answer = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.buffer.write(json.dumps(answer).encode("ascii"))
