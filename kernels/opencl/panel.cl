/* Segment minima of a panel's squared distances and of an ensemble's products, plain OpenCL C 1.2. All sets of a scene base in
 * one launch: dimension 0 walks over groups of rows, dimension 1 over parts. A part is a run of whole segments of one set.
 *
 * The arithmetic is the twin's (kernels/kernels.h), operation by operation: columns in order, one accumulator per row and
 * cluster, fma() where the specification has one, nothing contracted. So the bits are the twin's wherever the device
 * rounds fma correctly and keeps subnormals. Error: the twin's. Limit: two FMA per row, cluster and column, of points one.
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
    uint columns;        /* of its set */
    uint columns_before; /* of the sets before it: its tiles begin at columns_before · rows in z */
    uint block_first;    /* of its clusters: CLUSTERS of them in each block, the last cluster repeated to fill the last block */
    uint block_count;
    uint values_first; /* of its blocks in values: [block][column][cluster]{a, b}, or {weight} */
    uint is_product;   /* points: weight alone, one FMA */
};

/* Both return where the next block's values begin. */
static global const float *distances(rows_t distance[CLUSTERS][VECTORS], global const rows_t *const from[VECTORS], const uint columns,
                                     global const float *values)
{
    for (uint j = 0; j < columns; j++, values += 2 * CLUSTERS) {
        rows_t x[VECTORS];
#pragma unroll
        for (uint v = 0; v < VECTORS; v++)
            x[v] = from[v][j * (TILE_ROWS / VECTOR)];
#pragma unroll
        for (uint c = 0; c < CLUSTERS; c++) {
            const rows_t a = values[2 * c], b = values[2 * c + 1];
#pragma unroll
            for (uint v = 0; v < VECTORS; v++) {
                const rows_t u = fma(x[v], a, b);
                distance[c][v] = fma(u, u, distance[c][v]);
            }
        }
    }
    return values;
}

static global const float *products(rows_t product[CLUSTERS][VECTORS], global const rows_t *const from[VECTORS], const uint columns,
                                    global const float *values)
{
    for (uint j = 0; j < columns; j++, values += CLUSTERS) {
        rows_t x[VECTORS];
#pragma unroll
        for (uint v = 0; v < VECTORS; v++)
            x[v] = from[v][j * (TILE_ROWS / VECTOR)];
#pragma unroll
        for (uint c = 0; c < CLUSTERS; c++) {
            const rows_t weight = values[c];
#pragma unroll
            for (uint v = 0; v < VECTORS; v++)
                product[c][v] = fma(x[v], weight, product[c][v]);
        }
    }
    return values;
}

/* z: set after set, each in row tiles [tile][column][16]. start and line: one for each cluster of each block. A
 * segment's minima go to out[line · 16 · tiles + row]. */
kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void panel_min(global float *restrict out, global const float *restrict z,
                                                                         const uint tiles, global const struct part *restrict parts,
                                                                         global const float *restrict values,
                                                                         global const float *restrict start, global const uint *restrict line)
{
    const struct part part = parts[get_global_id(1)];
    const uint vectors = tiles * (TILE_ROWS / VECTOR), rows = tiles * TILE_ROWS;
    const uint first = (uint)get_group_id(0) * GROUP * VECTORS + (uint)get_local_id(0);
    global const rows_t *from[VECTORS];
    rows_t least[VECTORS];
    z += part.columns_before * rows;
    values += part.values_first;
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
        if (part.is_product)
            values = products(distance, from, part.columns, values);
        else
            values = distances(distance, from, part.columns, values);
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
