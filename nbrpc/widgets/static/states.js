// The states of an AsyncResult: for each an icon and a word, as in page.py.
const STATES = {
  pending: ["\u25b6", "running"],
  cancelling: ["\u25a0", "cancelling"],
  ready: ["\u2713", "done"],
  error: ["\u2717", "failed"],
  expired: ["\u231a", "expired"],
  cancelled: ["\u2298", "cancelled"],
  lost: ["\u00d7", "connection lost, it may have run"],
};
