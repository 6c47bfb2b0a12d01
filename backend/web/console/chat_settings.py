"""The page of the chat as visitors see it: its button and sound, and its words by language."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.schemas.site import SitePatch, site_view
from backend.web.console.forms import KEPT, Form, or_none, saved, typed
from backend.web.console.site_pages import Answer, address, page, redirected, show

LANGUAGES: Mapping[str, str] = {
    "*": "Any other language",
    "en": "English",
    "ru": "Russian",
    "bg": "Bulgarian",
    "uk": "Ukrainian",
    "ja": "Japanese",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
}
WORDS: Mapping[str, tuple[str, str]] = {
    "chat": ("Its name, on the button and above it", "Chat"),
    "welcome": ("Headline", "How can we help?"),
    "greeting": ("Below the headline", "Write to us, we are happy to help."),
    "replies_in": ("How fast answers come, with {time}", "Usually replies in {time}"),
    "placeholder": ("Where one writes", "Write a message…"),
    "email_ask": ("When nobody is there", "Nobody is here right now. Where may we send the answer?"),
    "thanks": ("After a reply to a pop-up", "Thank you, your message is on its way."),
}
"""What can be said otherwise here: what it is for, and what stands there in English."""
SWITCHES = {
    "launcher": "The chat's button stands on every page",
    "sound": "A soft sound tells of an answer, until the visitor mutes it",
    "teaser_first": "A pop-up comes as a small bubble first, where its rule does not say",
}
WITHIN = {"replies_in": "{time}"}
"""What must stand in a text, so that it says what it is for."""


@page("/settings/chat")
def chat(*, site: Site) -> Answer:
    """How the chat looks to visitors."""
    return _chat(site, KEPT)


def _chat(site: Site, form: Form) -> str:
    own = [each for each in site.policy.texts if each not in LANGUAGES]
    return show(
        "settings",
        "chat",
        form=form,
        switches=SWITCHES,
        attention=SitePatch().dump(site_view(site))["attention"],
        words=WORDS,
        opened={name.partition("-")[0] for name in form.beside} or {"en"},
        languages={**LANGUAGES, **{each: each for each in own}},
        texts=site.policy.texts,
    )


@page("/settings/chat", right="administer", methods=("POST",), name="change_chat")
def change_chat(*, site: Site) -> Answer:
    """Changes the chat's button, sound and words; words that the form does not tell of stay."""
    kept: dict[str, dict[str, str]] = {name: dict(told) for name, told in site.policy.texts.items()}
    missing: dict[str, str] = {}
    for language in {**LANGUAGES, **kept}:
        told = kept.setdefault(language, {})
        for name in WORDS:
            told.pop(name, None)
            if text := or_none(f"{language}-{name}"):
                told[name] = text
            if text and WITHIN.get(name, "") not in text:
                missing[f"{language}-{name}"] = f"{WITHIN[name]} must stand in it: there the time is told."
    if missing:
        return _chat(site, Form(again=True, beside=missing))
    body: dict[str, Any] = {
        "policy": {"texts": {language: told for language, told in kept.items() if told}},
        "attention": {name: typed(name) == "on" for name in SWITCHES},
    }
    places = {f"policy.texts.{each}.value.{name}": f"{each}-{name}" for each in kept for name in WORDS}
    form = saved(site, body, places)
    return redirected(address("chat", done="saved")) if form.fine else _chat(site, form)
