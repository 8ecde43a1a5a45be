set -e
export OMP_NUM_THREADS=8
for f in *.dat; do
  ./convert $f
done
