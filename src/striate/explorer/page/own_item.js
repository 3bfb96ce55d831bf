// A file of the user's: dropped on the page, or chosen with a button.

import { byId } from "./dom.js";
import { whatItSaw } from "./nearest_view.js";
import { give, savedCells } from "./source.js";

// `added(answer)` is told of each file that the server has taken.
export function takeFiles(attempt, added) {
  const [button, input] = [byId("own"), byId("file")];
  if (savedCells) {
    button.hidden = true;
    return;
  }
  const take = (files) => attempt(async () => {
    for (const file of files) {
      const answer = await give(file);
      await added(answer);
      await whatItSaw(answer.item, true);
    }
  });
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => take([...input.files]));
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const show = (visible) => (byId("drop").hidden = !visible);
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    show(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && show(false));
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    show(false);
    take([...event.dataTransfer.files]);
  });
}
