// Of all tabs one shows a message, and only once ever.

/** A function `(id, mayShow)` that resolves with 1 where this tab shall show it, with 0 where it was shown, else undefined. */
export const makeClaim =
  ({ inbox, locked, remember, shown }) =>
  (id, mayShow) =>
    new Promise((resolve) => {
      locked('show', () => {
        const over = shown().includes(id);
        if (!over && !mayShow()) return resolve();
        inbox.delete(id);
        resolve(over ? 0 : 1);
        if (over) return undefined;
        remember(id);
        // Other tabs may be other processes, which see what was stored a little later.
        return new Promise((seen) => setTimeout(seen, 300));
      });
    });
