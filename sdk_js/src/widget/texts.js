// The widget's own few words, in the language of the page.
const NAMES = ['close', 'reply', 'placeholder', 'send', 'chat', 'thanks', 'you', 'us', 'never', 'answered'];
const TEXTS = {
  en: [
    'Close', 'Reply', 'Write a message…', 'Send', 'Chat', 'Thank you, your message is on its way.',
    'You', 'We', 'Don’t show such messages again', 'Thank you for your answer.',
  ],
  ru: [
    'Закрыть', 'Ответить', 'Напишите сообщение…', 'Отправить', 'Чат', 'Спасибо, сообщение отправлено.',
    'Вы', 'Мы', 'Больше не показывать такие сообщения', 'Спасибо за ответ.',
  ],
  uk: [
    'Закрити', 'Відповісти', 'Напишіть повідомлення…', 'Надіслати', 'Чат', 'Дякуємо, повідомлення надіслано.',
    'Ви', 'Ми', 'Більше не показувати такі повідомлення', 'Дякуємо за відповідь.',
  ],
  bg: [
    'Затваряне', 'Отговор', 'Напишете съобщение…', 'Изпращане', 'Чат', 'Благодарим, съобщението е изпратено.',
    'Вие', 'Ние', 'Не показвай повече такива съобщения', 'Благодарим за отговора.',
  ],
  ja: [
    '閉じる', '返信', 'メッセージを入力…', '送信', 'チャット', 'ありがとうございます。送信しました。',
    'あなた', '私たち', '今後このようなメッセージを表示しない', 'ご回答ありがとうございます。',
  ],
  de: [
    'Schließen', 'Antworten', 'Nachricht schreiben …', 'Senden', 'Chat', 'Danke, die Nachricht ist unterwegs.',
    'Sie', 'Wir', 'Solche Nachrichten nicht mehr zeigen', 'Danke für die Antwort.',
  ],
  fr: [
    'Fermer', 'Répondre', 'Écrire un message…', 'Envoyer', 'Discussion', 'Merci, votre message est parti.',
    'Vous', 'Nous', 'Ne plus afficher ce genre de message', 'Merci pour votre réponse.',
  ],
  es: [
    'Cerrar', 'Responder', 'Escriba un mensaje…', 'Enviar', 'Chat', 'Gracias, su mensaje está en camino.',
    'Usted', 'Nosotros', 'No mostrar más mensajes como este', 'Gracias por su respuesta.',
  ],
  it: [
    'Chiudi', 'Rispondi', 'Scrivi un messaggio…', 'Invia', 'Chat', 'Grazie, il messaggio è partito.',
    'Tu', 'Noi', 'Non mostrare più messaggi simili', 'Grazie per la risposta.',
  ],
  pl: [
    'Zamknij', 'Odpowiedz', 'Napisz wiadomość…', 'Wyślij', 'Czat', 'Dziękujemy, wiadomość została wysłana.',
    'Ty', 'My', 'Nie pokazuj więcej takich wiadomości', 'Dziękujemy za odpowiedź.',
  ],
  pt: [
    'Fechar', 'Responder', 'Escreva uma mensagem…', 'Enviar', 'Chat', 'Obrigado, a mensagem foi enviada.',
    'Você', 'Nós', 'Não mostrar mais mensagens assim', 'Obrigado pela sua resposta.',
  ],
  he: [
    'סגירה', 'תגובה', 'כתבו הודעה…', 'שליחה', 'צ׳אט', 'תודה, ההודעה נשלחה.',
    'אתם', 'אנחנו', 'לא להציג שוב הודעות כאלה', 'תודה על התשובה.',
  ],
  ar: [
    'إغلاق', 'رد', 'اكتب رسالة…', 'إرسال', 'محادثة', 'شكرًا، تم إرسال رسالتك.',
    'أنت', 'نحن', 'عدم إظهار مثل هذه الرسائل مجددًا', 'شكرًا على إجابتك.',
  ],
};

/** The language of the page, else of the browser, by two letters. */
export const language = () => (document.documentElement.lang || navigator.language || '').slice(0, 2).toLowerCase();

/** `{close, reply, …}` in that language, else in English; `own` are the site's own words by language, `*` in any. */
export function texts(own) {
  const spoken = language();
  const words = TEXTS[spoken] || TEXTS.en;
  return Object.assign({}, ...NAMES.map((name, i) => ({ [name]: words[i] })), ...said(own));
}

/** The site's own words for the language of the page. */
export const said = (own) => [(own || {})['*'], (own || {})[language()]];
