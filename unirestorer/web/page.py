"""The page, laid out with gradio: where things stand, and what happens when somebody does something."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from .desk import Limits
from .studio import EXAMPLES, MOST_STEPS, Screen, Studio
from .words import titled

STATIC = Path(__file__).parent / "static"
ICON = STATIC / "icon.png"
WAITING = 16
"""Photos that may wait for their turn; one more is refused."""
_FONTS = ["-apple-system", "Segoe UI", "Roboto", "Ubuntu", "Cantarell", "Noto Sans", "Liberation Sans", "sans-serif"]
_FORMATS = "JPEG, PNG, WebP, TIFF, AVIF or BMP"
_MARK = (
    '<svg viewBox="0 0 24 24" width="26" height="26" aria-hidden="true"><circle cx="12" cy="12" r="11" fill="none" '
    'stroke="currentColor" stroke-width="1.6"/><path d="M12 1a11 11 0 0 1 0 22z" fill="currentColor"/></svg>'
)


def build(studio: Studio) -> gr.Blocks:
    """The page that restores with ``studio``; its handlers are its own and cannot be called by name."""
    page = gr.Blocks(title="UniRestorer", analytics_enabled=False, fill_width=True)
    with page:
        _html(_header())
        line = _html("", "ur-line")
        with gr.Column(elem_id="ur-empty"):
            drop = _html(_drop(studio.desk.limits), "ur-drop", "drop.js")
        with gr.Column(elem_id="ur-work"):  # the style sheet shows it once there is a picture
            other = gr.Button("← Another photo", elem_id="ur-other", size="sm")
            with gr.Row(elem_id="ur-columns"):
                with gr.Column(elem_id="ur-left"):
                    stage = _html("", "ur-picture", "stage.js")
                    task, strength, steps, again = _controls(studio)
                with gr.Column(elem_id="ur-right"):
                    found = _html("", "ur-found")
                    done = _html("", "ur-done")
        key = gr.State("")
        _wire(
            studio,
            screen=[key, line, stage, found, done],
            controls=[task, strength, steps],
            starts=(drop, again, other),
        )
    page.queue(max_size=WAITING, api_open=False)
    return page


def _html(value: str, name: str | None = None, script: str | None = None) -> gr.HTML:
    code = (STATIC / script).read_text(encoding="utf-8") if script else None
    return gr.HTML(value, elem_id=name, js_on_load=code, apply_default_css=False)


def theme() -> gr.themes.Base:
    """System fonts, a quiet palette, one accent; dark where the visitor's system is."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        font=_FONTS,
        font_mono=["ui-monospace", "monospace"],
        radius_size=gr.themes.sizes.radius_lg,
    )


def css() -> str:
    """The style sheet."""
    return (STATIC / "page.css").read_text(encoding="utf-8")


def _controls(studio: Studio) -> tuple[gr.Radio, gr.Slider, gr.Slider, gr.Button]:
    choices = [("Find out", ""), *((titled(name), name) for name in studio.restorer.mixture.tasks)]
    with gr.Column(elem_id="ur-controls"):
        _html('<p class="ur-kicker">Adjust</p>')
        task = gr.Radio(choices, value="", label="What is wrong", elem_id="ur-task")
        strength = gr.Slider(0, 100, 100, step=5, label="Strength, %", buttons=[], elem_id="ur-strength")
        steps = gr.Slider(1, MOST_STEPS, 1, step=1, label="Passes at most", buttons=[], elem_id="ur-steps")
        again = gr.Button("Restore again", variant="primary", elem_id="ur-again")
    return task, strength, steps, again


def _wire(studio: Studio, screen: list[Any], controls: list[Any], starts: tuple[gr.HTML, gr.Button, gr.Button]) -> None:
    drop, again, other = starts
    fresh = [gr.update(value=value) for value in ("", 100, 1)]

    def dropped(event: gr.EventData) -> Iterator[list[Any]]:
        for one in studio.restore(str(event.key)):
            yield [*_shown(one), *fresh]

    def exemplified(event: gr.EventData) -> Iterator[list[Any]]:
        for one in studio.example(str(event.name)):
            yield [*_shown(one), *fresh]

    def restored(key: str, task: str, strength: float, steps: float) -> Iterator[list[Any]]:
        for one in studio.restore(key, task, strength / 100, int(steps)):
            yield _shown(one)

    def refused(event: gr.EventData) -> list[Any]:
        return _shown(Screen(line=str(event.line)[:300]))

    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    light = private | {"concurrency_limit": None}
    heavy = private | {"concurrency_id": "photos", "concurrency_limit": 1, "trigger_mode": "always_last"}
    running = [
        drop.photo(dropped, None, [*screen, *controls], **heavy),
        drop.example(exemplified, None, [*screen, *controls], **heavy),
        again.click(restored, [screen[0], *controls], screen, **heavy),
    ]
    drop.refused(refused, None, screen, **light)
    other.click(lambda: ["", "", "", "", ""], None, screen, **light, cancels=running)


def _shown(screen: Screen) -> list[Any]:
    """Values of the components of a screen; without a photo only the line changes."""
    line = f'<p class="ur-error" role="alert">{escape(screen.line)}</p>' if screen.line else ""
    if not screen.key:
        return [gr.skip(), line, gr.skip(), gr.skip(), gr.skip()]
    return [screen.key, line, screen.stage, screen.found, screen.done]


def _header() -> str:
    return (
        f'<header class="ur-header"><p class="ur-logo">{_MARK}<span>UniRestorer</span></p>'
        '<p class="ur-promise">Photos stay on this server and are removed after an hour.</p></header>'
    )


def _drop(limits: Limits) -> str:
    thumbs = "".join(
        f'<button type="button" class="ur-example" data-example="{escape(name)}">'
        f'<img src="examples/{escape(name)}" alt=""><span>{escape(titled(name))}</span></button>'
        for name in EXAMPLES
    )
    return (
        '<div class="ur-hero"><h1>What is wrong with your photo?</h1>'
        "<p>Rain, haze, snow, noise, blur, darkness, JPEG blocks: it finds out which and how badly, and mends just "
        "that. A good photo comes back untouched.</p></div>"
        f'<label class="ur-drop" data-most="{limits.upload}" tabindex="0">'
        '<input type="file" accept="image/*" tabindex="-1">'
        '<svg viewBox="0 0 24 24" width="40" height="40" aria-hidden="true"><path d="M12 16V5m0 0L7.5 9.5M12 5l4.5 4.5'
        'M4 16v3a1.5 1.5 0 0 0 1.5 1.5h13A1.5 1.5 0 0 0 20 19v-3" fill="none" stroke="currentColor" stroke-width="1.5" '
        'stroke-linecap="round" stroke-linejoin="round"/></svg>'
        f"<b>Drop a photo here, or choose one</b><small>{_FORMATS}, {escape(str(limits))}</small></label>"
        f'<div class="ur-examples"><p>No photo at hand? Try one of these.</p><div>{thumbs}</div></div>'
    )
