// Times in the words of the page's language.
import { language } from '../texts.js';

const format = (maker, ...told) => {
  try {
    return maker(language() || undefined, ...told);
  } catch (e) {
    return maker('en', ...told); // an unknown language
  }
};

/** 14:05 today, otherwise the day. */
export function when(text) {
  const moment = new Date(text);
  if (isNaN(moment)) return '';
  const today = moment.toDateString() === new Date().toDateString();
  const options = today ? { hour: '2-digit', minute: '2-digit' } : { day: 'numeric', month: 'short' };
  return format((spoken) => moment.toLocaleString(spoken, options));
}

/** "Usually replies in 5 minutes", where the server says how many seconds that takes; else nothing. */
export function repliesIn(words, seconds) {
  if (!(seconds > 0)) return '';
  const [amount, unit] = seconds < 3600 ? [seconds / 60, 'minute'] : seconds < 86400 ? [seconds / 3600, 'hour'] : [seconds / 86400, 'day'];
  const told = format((spoken) =>
    new Intl.NumberFormat(spoken, { style: 'unit', unit, unitDisplay: 'long' }).format(Math.max(1, Math.round(amount))),
  );
  return words.replies_in.replace('{time}', told);
}
