// The widget's own few words, in the language of the page.
const NAMES = ['close', 'reply', 'placeholder', 'send', 'chat', 'thanks', 'you', 'us'];
const TEXTS = {
  en: ['Close', 'Reply', 'Write a message…', 'Send', 'Chat', 'Thank you, your message is on its way.', 'You', 'We'],
  ru: ['Закрыть', 'Ответить', 'Напишите сообщение…', 'Отправить', 'Чат', 'Спасибо, сообщение отправлено.', 'Вы', 'Мы'],
  uk: ['Закрити', 'Відповісти', 'Напишіть повідомлення…', 'Надіслати', 'Чат', 'Дякуємо, повідомлення надіслано.', 'Ви', 'Ми'],
  de: ['Schließen', 'Antworten', 'Nachricht schreiben …', 'Senden', 'Chat', 'Danke, die Nachricht ist unterwegs.', 'Sie', 'Wir'],
  fr: ['Fermer', 'Répondre', 'Écrire un message…', 'Envoyer', 'Discussion', 'Merci, votre message est parti.', 'Vous', 'Nous'],
  es: ['Cerrar', 'Responder', 'Escriba un mensaje…', 'Enviar', 'Chat', 'Gracias, su mensaje está en camino.', 'Usted', 'Nosotros'],
  it: ['Chiudi', 'Rispondi', 'Scrivi un messaggio…', 'Invia', 'Chat', 'Grazie, il messaggio è partito.', 'Tu', 'Noi'],
  pl: ['Zamknij', 'Odpowiedz', 'Napisz wiadomość…', 'Wyślij', 'Czat', 'Dziękujemy, wiadomość została wysłana.', 'Ty', 'My'],
  pt: ['Fechar', 'Responder', 'Escreva uma mensagem…', 'Enviar', 'Chat', 'Obrigado, a mensagem foi enviada.', 'Você', 'Nós'],
  he: ['סגירה', 'תגובה', 'כתבו הודעה…', 'שליחה', 'צ׳אט', 'תודה, ההודעה נשלחה.', 'אתם', 'אנחנו'],
  ar: ['إغلاق', 'رد', 'اكتب رسالة…', 'إرسال', 'محادثة', 'شكرًا، تم إرسال رسالتك.', 'أنت', 'نحن'],
};

/** `{close, reply, …}` for the language of the page, else of the browser, else English. */
export function texts() {
  const language = (document.documentElement.lang || navigator.language || '').slice(0, 2).toLowerCase();
  const words = TEXTS[language] || TEXTS.en;
  return Object.assign({}, ...NAMES.map((name, i) => ({ [name]: words[i] })));
}
