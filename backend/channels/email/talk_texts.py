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
        "off": "No more mails about this conversation",
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
        "off": "Больше не присылать писем об этом разговоре",
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
        "off": "Більше не надсилати листів про цю розмову",
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
        "off": "Без повече писма за този разговор",
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
        "off": "このやり取りのメールを停止する",
    },
}


def texts_for(locale: str | None) -> tuple[str, Mapping[str, str]]:
    """The language closest to a locale such as `uk-UA`, and its texts; English where there is none."""
    language = (locale or "").replace("_", "-").split("-")[0].lower()
    return (language, TEXTS[language]) if language in TEXTS else ("en", TEXTS["en"])


_PAGE: Mapping[str, Mapping[str, str]] = {
    "en": {
        "your_answer": "Your answer",
        "send": "Send",
        "sent": "Sent. We will answer here and by mail.",
        "private": "This page is private: whoever has its link can read and answer. It works for 30 days.",
        "ended": "This link leads nowhere.",
        "ended_more": "It may be cut off or too old: please use the one in a newer mail.",
        "busy": "That is a lot at once. Please try again in a few minutes.",
        "broken": "That did not work. Please try again in a minute.",
        "off_more": "We will mail you nothing more about it, at once. "
        "You can still read it and answer by the link in our mails.",
        "off_do": "Stop these mails",
        "off_done": "No more mails about this conversation.",
        "off_done_more": "{site} will not mail you about it any more. What is answered waits for you on the site.",
        "on_do": "Send mails again",
        "on_done": "Mails are on again.",
        "on_done_more": "Answers that you have not seen on the site will reach you by mail.",
    },
    "ru": {
        "your_answer": "Ваш ответ",
        "send": "Отправить",
        "sent": "Отправлено. Мы ответим здесь и по почте.",
        "private": "Эта страница личная: по ссылке можно читать и отвечать. Ссылка действует 30 дней.",
        "ended": "Эта ссылка никуда не ведёт.",
        "ended_more": "Она неполная или устарела: воспользуйтесь ссылкой из более нового письма.",
        "busy": "Слишком много сообщений сразу. Попробуйте через несколько минут.",
        "broken": "Не получилось. Попробуйте ещё раз через минуту.",
        "off_more": "Мы сразу перестанем писать вам о нём. "
        "Прочитать разговор и ответить можно и дальше по ссылке из наших писем.",
        "off_do": "Не присылать писем",
        "off_done": "Писем об этом разговоре больше не будет.",
        "off_done_more": "{site} больше не будет писать вам о нём. Ответы ждут вас на сайте.",
        "on_do": "Снова присылать письма",
        "on_done": "Письма снова включены.",
        "on_done_more": "Ответы, которых вы не видели на сайте, придут по почте.",
    },
    "uk": {
        "your_answer": "Ваша відповідь",
        "send": "Надіслати",
        "sent": "Надіслано. Ми відповімо тут і поштою.",
        "private": "Ця сторінка приватна: за посиланням можна читати й відповідати. Воно діє 30 днів.",
        "ended": "Це посилання нікуди не веде.",
        "ended_more": "Воно неповне або застаріле: скористайтеся посиланням із новішого листа.",
        "busy": "Забагато повідомлень одразу. Спробуйте за кілька хвилин.",
        "broken": "Не вийшло. Спробуйте ще раз за хвилину.",
        "off_more": "Ми одразу перестанемо писати вам про неї. "
        "Прочитати розмову й відповісти можна й надалі за посиланням із наших листів.",
        "off_do": "Не надсилати листів",
        "off_done": "Листів про цю розмову більше не буде.",
        "off_done_more": "{site} більше не писатиме вам про неї. Відповіді чекають на вас на сайті.",
        "on_do": "Знову надсилати листи",
        "on_done": "Листи знову ввімкнено.",
        "on_done_more": "Відповіді, яких ви не бачили на сайті, надійдуть поштою.",
    },
    "bg": {
        "your_answer": "Вашият отговор",
        "send": "Изпращане",
        "sent": "Изпратено. Ще отговорим тук и по пощата.",
        "private": "Тази страница е лична: с връзката може да се чете и отговаря. Валидна е 30 дни.",
        "ended": "Тази връзка не води наникъде.",
        "ended_more": "Непълна е или е стара: използвайте връзката от по-ново писмо.",
        "busy": "Твърде много съобщения наведнъж. Опитайте след няколко минути.",
        "broken": "Не се получи. Опитайте отново след минута.",
        "off_more": "Веднага ще спрем да ви пишем за него. "
        "Можете и занапред да го четете и да отговаряте чрез връзката в писмата ни.",
        "off_do": "Спиране на писмата",
        "off_done": "Няма да има повече писма за този разговор.",
        "off_done_more": "{site} няма да ви пише повече за него. Отговорите ви очакват на сайта.",
        "on_do": "Изпращайте писма отново",
        "on_done": "Писмата отново са включени.",
        "on_done_more": "Отговорите, които не сте видели на сайта, ще дойдат по пощата.",
    },
    "ja": {
        "your_answer": "返信",
        "send": "送信",
        "sent": "送信しました。こちらとメールでお返事します。",
        "private": "このページは非公開です。リンクを知っている人だけが閲覧・返信できます。有効期間は30日です。",
        "ended": "このリンクは無効です。",
        "ended_more": "途中で切れているか、古い可能性があります。新しいメールのリンクをお使いください。",
        "busy": "送信が多すぎます。数分後にもう一度お試しください。",
        "broken": "うまくいきませんでした。しばらくしてからもう一度お試しください。",
        "off_more": "すぐにメールの送信を停止します。"
        "やり取りは、これまでのメールのリンクから引き続き閲覧・返信できます。",
        "off_do": "メールを停止する",
        "off_done": "このやり取りのメールを停止しました。",
        "off_done_more": "{site} からこのやり取りについてのメールは届きません。返信はサイトでご覧いただけます。",
        "on_do": "メールを再開する",
        "on_done": "メールを再開しました。",
        "on_done_more": "サイトで未読の返信はメールでお届けします。",
    },
}


def page_texts(locale: str | None) -> tuple[str, Mapping[str, str]]:
    """The same for the private page, with its own words."""
    language, texts = texts_for(locale)
    return language, {**texts, **_PAGE[language]}


def mark_line(texts: Mapping[str, str]) -> str:
    """The line above which answers are written."""
    return f"{MARK} {texts['mark']} {_END}"
