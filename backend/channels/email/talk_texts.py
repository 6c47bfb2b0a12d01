"""The words around a conversation in a mail and on its private page, in the languages of the widget."""

from collections.abc import Mapping

from backend.domain.quoted import MARK

_END = "-##"

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "mark": "Please write your answer above this line",
        "subject": "Your conversation with {site}",
        "wrote": "{name} has answered you",
        "earlier": "Earlier in this conversation",
        "continue": "Continue here",
        "answer": "To answer, simply reply to this mail, or continue on the page.",
        "answer_link": "To answer, please use the link: replies to this mail are not read.",
        "you": "You",
        "files": "Attached",
        "taken_back": "This message was taken back.",
    },
    "ru": {
        "mark": "Пожалуйста, напишите ответ выше этой строки",
        "subject": "Ваш разговор с {site}",
        "wrote": "{name}: вам ответили",
        "earlier": "Ранее в этом разговоре",
        "continue": "Продолжить здесь",
        "answer": "Чтобы ответить, просто напишите ответ на это письмо или продолжите на странице.",
        "answer_link": "Чтобы ответить, перейдите по ссылке: ответы на это письмо не читаются.",
        "you": "Вы",
        "files": "Вложения",
        "taken_back": "Это сообщение отозвано.",
    },
    "uk": {
        "mark": "Будь ласка, напишіть відповідь над цим рядком",
        "subject": "Ваша розмова з {site}",
        "wrote": "{name}: вам відповіли",
        "earlier": "Раніше в цій розмові",
        "continue": "Продовжити тут",
        "answer": "Щоб відповісти, просто надішліть відповідь на цей лист або продовжте на сторінці.",
        "answer_link": "Щоб відповісти, перейдіть за посиланням: відповіді на цей лист не читають.",
        "you": "Ви",
        "files": "Вкладення",
        "taken_back": "Це повідомлення відкликано.",
    },
    "bg": {
        "mark": "Моля, напишете отговора си над този ред",
        "subject": "Вашият разговор с {site}",
        "wrote": "{name} ви отговори",
        "earlier": "По-рано в този разговор",
        "continue": "Продължете тук",
        "answer": "За да отговорите, просто отговорете на това писмо или продължете на страницата.",
        "answer_link": "За да отговорите, използвайте връзката: отговори на това писмо не се четат.",
        "you": "Вие",
        "files": "Прикачени файлове",
        "taken_back": "Това съобщение е оттеглено.",
    },
    "ja": {
        "mark": "この線より上に返信をご記入ください",
        "subject": "{site} とのやり取り",
        "wrote": "{name} から返信がありました",
        "earlier": "これまでのやり取り",
        "continue": "続きはこちら",
        "answer": "このメールに返信するか、ページで続けてください。",
        "answer_link": "返信はリンクからお願いします。このメールへの返信は確認されません。",
        "you": "あなた",
        "files": "添付ファイル",
        "taken_back": "このメッセージは取り消されました。",
    },
}


def texts_for(locale: str | None) -> tuple[str, Mapping[str, str]]:
    """The language closest to a locale such as `uk-UA`, and its texts; English where there is none."""
    language = (locale or "").replace("_", "-").split("-")[0].lower()
    return (language, TEXTS[language]) if language in TEXTS else ("en", TEXTS["en"])


def mark_line(texts: Mapping[str, str]) -> str:
    """The line above which answers are written."""
    return f"{MARK} {texts['mark']} {_END}"
