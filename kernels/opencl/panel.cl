/* Segment minima of squared distances, plain OpenCL C 1.2. All panels of a scene base in one launch:
 * dimension 0 walks over groups of rows, dimension 1 over parts. A part is a run of whole segments of one panel.
 *
 * The arithmetic is the twin's (kernels/kernels.h), operation by operation: columns in order, one accumulator per row and
 * cluster, fma() where the specification has one, nothing contracted. So the bits are the twin's wherever the device
 * rounds fma correctly and keeps subnormals. Error: the twin's. Limit: two FMA per row, cluster and column.
 *
 * Tunables come by -D from tunables.tbl. Shapes are arguments: another base compiles nothing. */
#ifndef VECTOR
#define VECTOR 16 /* rows in one vector: 1, 2, 4, 8 or 16 */
#endif
#ifndef VECTORS
#define VECTORS 4 /* vectors of one work-item */
#endif
#ifndef CLUSTERS
#define CLUSTERS 6 /* clusters at once: VECTORS × CLUSTERS accumulators */
#endif
#ifndef GROUP
#define GROUP 1 /* work-items of a group */
#endif

#pragma OPENCL FP_CONTRACT OFF

#define TILE_ROWS 16

#define JOIN(a, b) a##b
#define VECTOR_TYPE(lanes) JOIN(float, lanes)
#if VECTOR == 1
typedef float rows_t;
#else
typedef VECTOR_TYPE(VECTOR) rows_t;
#endif

/* What the host lays out for a part: struct opencl_part of kernels.h. */
struct part {
    uint columns;        /* of its panel */
    uint columns_before; /* of the panels before it: its tiles begin at columns_before · rows in z */
    uint block_first;    /* of its clusters: CLUSTERS of them in each block, the last cluster repeated to fill the last block */
    uint block_count;
    uint values_first; /* of its blocks in ab: [block][column][cluster]{a, b} */
};

/* z: panel after panel, each in row tiles [tile][column][16]. start and line: one for each cluster of each block. A
 * segment's minima go to out[line · 16 · tiles + row]. */
kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void panel_min(global float *restrict out, global const float *restrict z,
                                                                         const uint tiles, global const struct part *restrict parts,
                                                                         global const float *restrict ab,
                                                                         global const float *restrict start, global const uint *restrict line)
{
    const struct part part = parts[get_global_id(1)];
    const uint vectors = tiles * (TILE_ROWS / VECTOR), rows = tiles * TILE_ROWS;
    const uint first = (uint)get_group_id(0) * GROUP * VECTORS + (uint)get_local_id(0);
    global const rows_t *from[VECTORS];
    rows_t least[VECTORS];
    z += part.columns_before * rows;
    ab += part.values_first;
    start += part.block_first * CLUSTERS;
    line += part.block_first * CLUSTERS;
    uint open = line[0];

#pragma unroll
    for (uint v = 0; v < VECTORS; v++) { /* past the end: the last vector once more, and not stored */
        const uint row = min(first + v * GROUP, vectors - 1) * VECTOR;
        from[v] = (global const rows_t *)(z + row / TILE_ROWS * part.columns * TILE_ROWS + row % TILE_ROWS);
        least[v] = INFINITY;
    }
    for (uint block = 0; block < part.block_count; block++, start += CLUSTERS, line += CLUSTERS) {
        rows_t distance[CLUSTERS][VECTORS];
#pragma unroll
        for (uint c = 0; c < CLUSTERS; c++) {
#pragma unroll
            for (uint v = 0; v < VECTORS; v++)
                distance[c][v] = start[c];
        }
        for (uint j = 0; j < part.columns; j++, ab += 2 * CLUSTERS) {
            rows_t x[VECTORS];
#pragma unroll
            for (uint v = 0; v < VECTORS; v++)
                x[v] = from[v][j * (TILE_ROWS / VECTOR)];
#pragma unroll
            for (uint c = 0; c < CLUSTERS; c++) {
                const rows_t a = ab[2 * c], b = ab[2 * c + 1];
#pragma unroll
                for (uint v = 0; v < VECTORS; v++) {
                    const rows_t u = fma(x[v], a, b);
                    distance[c][v] = fma(u, u, distance[c][v]);
                }
            }
        }
#pragma unroll
        for (uint c = 0; c < CLUSTERS; c++) {
            if (line[c] != open) {
#pragma unroll
                for (uint v = 0; v < VECTORS; v++) {
                    if (first + v * GROUP < vectors)
                        *(global rows_t *)(out + open * rows + (first + v * GROUP) * VECTOR) = least[v];
                    least[v] = INFINITY;
                }
                open = line[c];
            }
#pragma unroll
            for (uint v = 0; v < VECTORS; v++)
                least[v] = least[v] < distance[c][v] ? least[v] : distance[c][v];
        }
    }
#pragma unroll
    for (uint v = 0; v < VECTORS; v++)
        if (first + v * GROUP < vectors)
            *(global rows_t *)(out + open * rows + (first + v * GROUP) * VECTOR) = least[v];
}
