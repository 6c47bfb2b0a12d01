"""What is said to who waits while nobody answers: until when, in their language, and whether to leave an address."""

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

CLOSED, BUSY, ASK = "closed", "busy", "ask"
"""Outside the hours, with a time; nobody can answer now; and the question for an address to write to."""

LANGUAGES = ("en", "ru", "bg", "uk", "ja")
WHEN = "{when}"
LONGEST = 500

TEXTS: Mapping[str, Mapping[str, str]] = {
    CLOSED: {
        "en": "Thank you for your message. We are back {when}, and will answer you here.",
        "ru": "Спасибо за сообщение. Мы вернёмся {when} и ответим вам здесь.",
        "bg": "Благодарим за съобщението. Ще се върнем {when} и ще ви отговорим тук.",
        "uk": "Дякуємо за повідомлення. Ми повернемося {when} і відповімо вам тут.",
        "ja": "メッセージをありがとうございます。{when}に戻り、こちらでお返事いたします。",
    },
    BUSY: {
        "en": "Thank you for waiting. Nobody is free at the moment; we will answer you here as soon as we can.",
        "ru": "Спасибо за ожидание. Сейчас все заняты; мы ответим вам здесь, как только сможем.",
        "bg": "Благодарим за търпението. В момента никой не е свободен; ще ви отговорим тук възможно най-скоро.",
        "uk": "Дякуємо за очікування. Зараз усі зайняті; ми відповімо вам тут, щойно зможемо.",
        "ja": "お待たせしております。ただいま対応できる者がおりません。できるだけ早くこちらでお返事いたします。",
    },
    ASK: {
        "en": "Leave your e-mail address, and the answer will reach you when you are gone.",
        "ru": "Оставьте адрес электронной почты, и ответ дойдёт до вас, даже если вы уйдёте со страницы.",
        "bg": "Оставете имейл адрес и отговорът ще стигне до вас и когато сте напуснали страницата.",
        "uk": "Залиште адресу електронної пошти, і відповідь надійде, навіть якщо ви підете зі сторінки.",
        "ja": "メールアドレスをお知らせいただければ、ページを離れた後もお返事が届きます。",
    },
}

_WEEKDAYS: Mapping[str, tuple[str, ...]] = {
    "en": tuple(f"on {each}day" for each in ("Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun")),
    "ru": ("в понедельник", "во вторник", "в среду", "в четверг", "в пятницу", "в субботу", "в воскресенье"),
    "bg": ("в понеделник", "във вторник", "в сряда", "в четвъртък", "в петък", "в събота", "в неделя"),
    "uk": ("у понеділок", "у вівторок", "у середу", "у четвер", "у п’ятницю", "у суботу", "у неділю"),
    "ja": tuple(f"{each}曜日" for each in "月火水木金土日"),
}
_MONTHS: Mapping[str, tuple[str, ...]] = {
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
    "ru": (
        *("января", "февраля", "марта", "апреля", "мая", "июня"),
        *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
    ),
    "bg": (
        *("януари", "февруари", "март", "април", "май", "юни"),
        *("юли", "август", "септември", "октомври", "ноември", "декември"),
    ),
    "uk": (
        *("січня", "лютого", "березня", "квітня", "травня", "червня"),
        *("липня", "серпня", "вересня", "жовтня", "листопада", "грудня"),
    ),
}
_TODAY = {"en": "today", "ru": "сегодня", "bg": "днес", "uk": "сьогодні", "ja": "本日"}
_TOMORROW = {"en": "tomorrow", "ru": "завтра", "bg": "утре", "uk": "завтра", "ja": "明日"}
_AT = {"en": " at ", "ru": " в ", "bg": " в ", "uk": " о ", "ja": ""}


def language_of(*locales: str | None) -> str:
    """The first of these locales (`ru-RU`) that we speak, else English."""
    for locale in locales:
        told = (locale or "").replace("_", "-").partition("-")[0].lower()
        if told in LANGUAGES:
            return told
    return LANGUAGES[0]


def told_time(moment: datetime, now: datetime, zone: tzinfo, language: str) -> str:
    """A moment to come as people say it there: today, on Monday or on 7 December, at 9:00."""
    there, day = moment.astimezone(zone), now.astimezone(zone).date()
    ahead = there.date() - day
    if ahead <= timedelta(0):
        said = _TODAY[language]
    elif ahead == timedelta(days=1):
        said = _TOMORROW[language]
    elif ahead < timedelta(days=7):
        said = _WEEKDAYS[language][there.weekday()]
    else:
        said = _date(there, language)
    return f"{said}{_AT[language]}{there.hour}:{there.minute:02}"


def _date(there: datetime, language: str) -> str:
    if language == "ja":
        return f"{there.month}月{there.day}日"
    before = {"en": "on ", "bg": "на "}.get(language, "")
    return f"{before}{there.day} {_MONTHS[language][there.month - 1]}"


def promise_text(
    texts: Mapping[str, Mapping[str, str]],
    language: str,
    opens_at: datetime | None,
    now: datetime,
    zone: tzinfo,
    *,
    ask: bool,
) -> str:
    """What is said: with a time where one is known, and with the question for an address where there is none."""
    if opens_at is None:
        said = _text(texts, BUSY, language)
    else:
        said = _text(texts, CLOSED, language).replace(WHEN, told_time(opens_at, now, zone, language))
    asked = _text(texts, ASK, language) if ask else ""
    return f"{said}{'' if language == 'ja' or not asked else ' '}{asked}"


def _text(texts: Mapping[str, Mapping[str, str]], name: str, language: str) -> str:
    return texts.get(name, {}).get(language) or TEXTS[name][language]
