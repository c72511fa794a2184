"""How the Sudoku models were made: `python -m training.sudoku` trains, `.evaluate` measures, `.export` writes what ships."""
