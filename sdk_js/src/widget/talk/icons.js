// Path data of our own, for the small line icons of the panel.
export const ARROW_BACK = 'M15 5l-7 7 7 7';
export const BELL = 'M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 20.5h4';
export const BELL_OFF = 'M6 16V11a6 6 0 0 1 9-5.2M18 11v5l1.5 2h-15L6 16M10 20.5h4M4 4l16 16';
export const CLIP = 'M19 11.5l-7 7a4.6 4.6 0 0 1-6.5-6.5l7.6-7.6a3 3 0 0 1 4.3 4.3l-7.5 7.5a1.5 1.5 0 0 1-2.1-2.1l6.8-6.8';
export const FILE = 'M13.5 3.5h-6a1.5 1.5 0 0 0-1.5 1.5v14a1.5 1.5 0 0 0 1.5 1.5h9a1.5 1.5 0 0 0 1.5-1.5V8zM13.5 3.5V8H18';
