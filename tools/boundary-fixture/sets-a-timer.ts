export const later = (task: () => void) => setTimeout(task, 100);
