// What the panel says, in English; other languages lie on the server, and a site may say it otherwise.
import WORDS from './languages/en.json';

export { WORDS };
