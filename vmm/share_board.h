/*
 * The directories that the guest shares with the host: --rootfs and --volume.
 *
 * Ids: run by root, files have the ids that they have. Run by anybody else, the user who runs bantam
 * and the one that COMMAND runs as are each other's image, for nobody else's files can be made.
 *
 * With --rootfs / the homes appear empty, unless the user wants them: what runs in the guest is not
 * trusted, and may have a network.
 */
#ifndef BANTAM_VMM_SHARE_BOARD_H
#define BANTAM_VMM_SHARE_BOARD_H

#include "devices/virtio/fs.h"
#include "vmm/landlock.h"

enum { SHARE_TAG_BYTES = 16 };

struct config;

struct share_board {
	struct fs *fs; /* the root's, if there is one, then the volumes' */
	unsigned count;
};

/* The tag by which the guest knows the n-th volume; the root's is SHARE_ROOT_TAG. */
#define SHARE_ROOT_TAG "root"
void share_tag(char tag[SHARE_TAG_BYTES], unsigned volume);

/* Opens the directories. Returns 0, or -1 with err set. */
int share_board_attach(struct share_board *board, const struct config *config, struct error *err);
/* The directories' descriptors, count of them. */
void share_board_trees(const struct share_board *board, struct landlock_tree *tree);
int share_board_open(struct share_board *board, const struct thread_setup *setup,
		     struct error *err);
bool share_board_close(struct share_board *board, unsigned timeout_ms);

#endif
