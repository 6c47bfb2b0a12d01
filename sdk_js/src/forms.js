// Which filled-in form fields may be reported, sent or not: those on the site's list, and never a secret.
const OPEN_TYPES = /^(text|email|tel|search|url|number|textarea|select-one)$/;
const SECRET = /pass|pwd|card|cvv|cvc|cc-|csc|iban|ssn|otp|one-time|secret|token/i;

/** The report `{form, field, value, page}` of a changed field, or nothing where it must stay with the visitor. */
export function reportOf(element, allowList) {
  const { form, type, value } = element;
  const [name, id, autocomplete] = ['name', 'id', 'autocomplete'].map((key) => element.getAttribute(key) || '');
  if (!OPEN_TYPES.test(type) || SECRET.test([name, id, autocomplete]) || element.closest('[data-chimein-ignore]')) {
    return undefined;
  }
  // `billing[first-name]` is first_name.
  const names = [name, name.replace(/.*\[(.+)\]$/, '$1'), id].map(plain);
  const field = allowList.find((allowed) => names.includes(plain(allowed)));
  if (!field || !value.trim() || holdsCardNumber(value)) return undefined;
  return {
    form: (form && (form.getAttribute('name') || form.getAttribute('id'))) || '',
    field,
    value: value.trim().slice(0, 1000),
    page: location.pathname,
  };
}

const plain = (name) => name.toLowerCase().replace(/[\s-]+/g, '_');

// Whether the text holds 13 to 19 digits, in however many groups, that pass the check (Luhn's) of card numbers.
const holdsCardNumber = (text) =>
  (text.match(/\d[\d\s.-]{11,}/g) || []).some((run) =>
    run.split(/\D+/).some((_, from, groups) => {
      let digits = '';
      return groups.slice(from).some((group) => passesLuhn((digits += group)));
    }),
  );

const passesLuhn = (digits) =>
  /^\d{13,19}$/.test(digits) &&
  !([...digits].reverse().reduce((sum, digit, i) => sum - (i % 2 ? '0246813579'[digit] : digit), 0) % 10);
